/** What is said about faces, in the language of the front end. */

const WORDS = {
  en: {
    waiting: "Run once; then click a face to choose it.",
    free: "Click a face to choose it: its number goes into face_index.",
    chosen: (index) => `face_index is ${index}; run again to take it, click it again to compare.`,
    face: (index, similarity) => `Face ${index}${similarity === null ? "" : `, ${similarity.toFixed(2)} alike`}`,
    wired: "face_index comes over a wire and cannot be clicked.",
  },
  zh: {
    waiting: "先运行一次，然后点击要选择的人脸。",
    free: "点击人脸即可选择：其编号会填入 face_index。",
    chosen: (index) => `face_index 为 ${index}：再次运行即采用此人脸；再点一次恢复按相似度比较。`,
    face: (index, similarity) => `人脸 ${index}${similarity === null ? "" : `，相似度 ${similarity.toFixed(2)}`}`,
    wired: "face_index 由连线提供，无法点选。",
  },
};

/** The words of a locale such as "zh" or "zh-TW"; English where there are none. */
export function wordsOf(locale) {
  return WORDS[locale?.split("-")[0]] ?? WORDS.en;
}
