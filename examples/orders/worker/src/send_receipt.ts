import type { Task } from "graphile-worker";

/** Sends the receipt of an order, unless it has been sent. */
export const sendReceipt: Task<"send_receipt"> = async ({ order }, { query }) => {
  const { rows } = await query<{ email: string }>("select email from orders where id = $1 and receipt_sent_at is null", [order]);
  for (const { email } of rows) {
    await send(email);
    await query("update orders set receipt_sent_at = now() where id = $1", [order]);
  }
};

/** Stands for a mail provider. */
async function send(email: string): Promise<void> {
  if (email.endsWith(".invalid")) throw new Error("the mail server does not know the address");
}
