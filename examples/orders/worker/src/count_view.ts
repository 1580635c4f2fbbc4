import type { Task } from "graphile-worker";

/** Counts a view of a product. */
export const countView: Task<"count_view"> = async ({ product }, { query }) => {
  await query(
    `insert into product_views (product, views) values ($1, 1)
    on conflict (product) do update set views = product_views.views + 1`,
    [product],
  );
};
