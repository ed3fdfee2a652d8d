/** The order of our workflows among ComfyUI's templates. */

/** By the numbers that they begin with. */
export function inOrder(names) {
  return [...names].sort((one, other) => one.localeCompare(other, "en", { numeric: true }));
}

/**
 * ComfyUI lists the templates of a pack as the file system happens to do. Of those that `api` tells, ours, which are
 * listed under the pack's `folder`, are put in order.
 */
export function orderTemplates(api, folder) {
  const ask = api.getWorkflowTemplates;
  if (typeof ask !== "function") return;
  api.getWorkflowTemplates = async function (...given) {
    const templates = await ask.apply(this, given);
    const ours = templates?.[folder];
    return Array.isArray(ours) ? { ...templates, [folder]: inOrder(ours) } : templates;
  };
}
