// Tells how the page was reached.

/** Whether the visitor came by Back or Forward; sending them on again would trap them. */
export function cameBack() {
  const [entry] = performance.getEntriesByType("navigation");
  return entry?.type === "back_forward";
}
