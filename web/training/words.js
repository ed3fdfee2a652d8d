/** Numbers and states in words, in the language of the front end. */

const WORDS = {
  en: {
    loss: "loss",
    inside: "inside",
    outside: "outside",
    validation: "validation",
    learning_rate: "learning rate",
    coverage: "coverage",
    prior: "drift (prior)",
    dop: "drift (class)",
    step: "step",
    left: "left",
    sample: "sample of step",
    likeness: "likeness",
    bleed: "bleed",
    copy_risk: "copy risk",
    background_leak: "background leak",
    drift: "drift (plain)",
    faceIn: "a face in",
    of: "of",
    keep: "keep step",
    keepNone: "none to keep",
    unsure: "not sure",
    waiting: "The curves appear here when training runs.",
    running: "training",
    finished: "finished",
    interrupted: "interrupted; queue again to go on",
    failed: "failed",
    units: ["h", "min", "s"],
  },
  zh: {
    loss: "损失",
    inside: "遮罩内",
    outside: "遮罩外",
    validation: "验证",
    learning_rate: "学习率",
    coverage: "覆盖率",
    prior: "偏移（先验）",
    dop: "偏移（类别）",
    step: "步",
    left: "后完成",
    sample: "采样预览，步数",
    likeness: "相似度",
    bleed: "串脸",
    copy_risk: "照抄风险",
    background_leak: "背景泄漏",
    drift: "偏移（普通）",
    faceIn: "有人脸",
    of: "/",
    keep: "建议保留第几步：",
    keepNone: "没有可保留的",
    unsure: "不确定",
    waiting: "训练开始后，曲线会显示在这里。",
    running: "训练中",
    finished: "已完成",
    interrupted: "已中断；再次加入队列即可继续",
    failed: "失败",
    units: ["小时", "分", "秒"],
  },
};

/** The words of a locale such as "zh" or "zh-TW"; English where there are none. */
export function wordsOf(locale) {
  return WORDS[locale?.split("-")[0]] ?? WORDS.en;
}

/** What a figure is called; one that this file does not know has the server's word. */
export function wordOf(words, { name, words: told }) {
  return words[name] ?? told;
}

/** "0.0432", "1.2e-4": four significant digits at most. */
export function inDigits(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e5) return value.toExponential(2).replace(/\.?0+e/, "e");
  return String(Number(value.toPrecision(4)));
}

/** "2 h 05 min", "3 min 12 s", "8 s". */
export function inTime(seconds, [hours, minutes, second]) {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const padded = (number) => String(number).padStart(2, "0");
  if (h > 0) return `${h} ${hours} ${padded(m)} ${minutes}`;
  return m > 0 ? `${m} ${minutes} ${padded(s)} ${second}` : `${s} ${second}`;
}

/** "1,234" as the locale writes it. */
export function inThousands(number, locale) {
  return new Intl.NumberFormat(locale ?? "en").format(number);
}
