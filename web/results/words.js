/** What is said on a node about its result, in the language of the front end. */

const WORDS = {
  en: {
    open: "Open the report",
    page: "opens in another tab",
    rows: (count) => `${count} photographs, one by one`,
    more: (count) => `… and ${count} more: the whole list is in the node's report`,
    byHand: "by hand",
    written: "kept",
    unchanged: "kept",
    kept: "kept",
    "left out": "left out",
  },
  zh: {
    open: "打开报告",
    page: "在新标签页中打开",
    rows: (count) => `逐张查看 ${count} 张照片`,
    more: (count) => `……另有 ${count} 张：完整列表见节点的 report 输出`,
    byHand: "手动指定",
    written: "保留",
    unchanged: "保留",
    kept: "保留",
    "left out": "排除",
  },
};

/** The words of a locale such as "zh" or "zh-TW"; English where there are none. */
export function wordsOf(locale) {
  return WORDS[locale?.split("-")[0]] ?? WORDS.en;
}
