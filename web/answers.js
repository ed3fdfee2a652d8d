/** Questions to the pack's own routes. */

/**
 * What the server answers as JSON; null where it refuses, or cannot be reached, as while the page is being left: ComfyUI
 * itself says that the server is gone, and tells with "reconnected" when to ask again.
 */
export async function answerOf(api, route) {
  try {
    const answer = await api.fetchApi(route);
    return answer.ok ? await answer.json() : null; // its body may be cut off as well
  } catch (problem) {
    if (problem instanceof TypeError) return null; // what both reject with where there is no connection
    throw problem;
  }
}
