/** Questions to the pack's own routes. */

/**
 * What the server answers as JSON; null where it refuses, or cannot be reached, as while the page is being left: ComfyUI
 * itself says that the server is gone, and tells with "reconnected" when to ask again.
 */
export async function answerOf(api, route) {
  const answer = await api.fetchApi(route).catch((problem) => {
    if (problem instanceof TypeError) return null; // what fetch rejects with where there is no connection
    throw problem;
  });
  return answer?.ok ? answer.json() : null;
}
