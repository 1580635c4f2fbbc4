# Migrates the queue's schema when the release of gwadmin changes, and gives roles their
# rights. It runs the command where Terraform runs, so gwadmin must be on the PATH there.

variable "database_url" {
  description = "The connection string of the role that owns the tables, or may create the schema."
  type        = string
  sensitive   = true
}

variable "gwadmin_release" {
  description = "The release of gwadmin on the PATH. A new one migrates."
  type        = string
  default     = "0.1.0"
}

variable "grants" {
  description = "Roles, and what each is: producer, admin or reader."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for kind in values(var.grants) : contains(["producer", "admin", "reader"], kind)])
    error_message = "A role is a producer, an admin or a reader."
  }
}

resource "terraform_data" "migrate" {
  triggers_replace = [var.gwadmin_release]

  provisioner "local-exec" {
    command     = "gwadmin migrate up --wait-idle 5m --lock-timeout 2s && gwadmin migrate validate"
    environment = { DATABASE_URL = var.database_url }
  }
}

resource "terraform_data" "grants" {
  for_each         = var.grants
  triggers_replace = [terraform_data.migrate.id, each.value]

  provisioner "local-exec" {
    command     = "gwadmin migrate grants \"$KIND\" \"$ROLE\" --apply --yes"
    environment = { DATABASE_URL = var.database_url, KIND = each.value, ROLE = each.key }
  }
}

# Workers that are managed here, too, come after the migrations: depends_on = [terraform_data.migrate].
output "migrated" {
  description = "Changes with each migration."
  value       = terraform_data.migrate.id
}
