package main

import "strings"

// try says what to do with the service at a URL.
func try(url string) string {
	return strings.ReplaceAll(tryText, "URL", url)
}

const tryText = `Orders are taken at URL. In another terminal try:

  curl -d '{"email": "ada@example.com", "cents": 1999, "currency": "eur"}' URL/orders
  curl URL/orders/1
  curl -d '{"email": "bob@mail.invalid", "cents": 500, "currency": "usd"}' URL/orders
  curl URL/admin/failed
  curl -X PUT -d '{"email": "bob@example.com"}' URL/orders/2/email
  curl -d '{"ids": [4]}' URL/admin/retry
  curl URL/orders/2
  curl -Z --no-progress-meter -X POST -o /dev/null -w '%{http_code}\n' 'URL/products/[1-10000]/views' | sort | uniq -c

Ctrl-C ends it.`
