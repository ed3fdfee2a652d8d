import { describe, expect, test } from "vitest";

import { wordsOf as faceWords } from "../../../web/faces/words.js";
import { wordsOf as resultWords } from "../../../web/results/words.js";
import { inDigits, inThousands, inTime, wordOf, wordsOf } from "../../../web/training/words.js";

test("numbers are short and never wrong by more than the last digit", () => {
  expect([0.04321987, 1.5, 12345.6, 1e-4, 3.54e-8, 0, -0.25].map(inDigits)).toEqual([
    "0.04322", "1.5", "12350", "1e-4", "3.54e-8", "0", "-0.25",
  ]);
  expect([null, undefined, NaN, Infinity].map(inDigits)).toEqual(["–", "–", "–", "–"]);
});

test("times in the two largest units", () => {
  const { units } = wordsOf("en");
  expect([0.4, 8, 60, 192.2, 7500, 90_000].map((seconds) => inTime(seconds, units))).toEqual([
    "0 s", "8 s", "1 min 00 s", "3 min 12 s", "2 h 05 min", "25 h 00 min",
  ]);
  expect(inTime(192, wordsOf("zh").units)).toBe("3 分 12 秒");
});

test("thousands as the locale writes them", () => {
  expect(inThousands(12_345, "en")).toBe("12,345");
});

test("a figure has its own word, or else the server's", () => {
  expect(wordOf(wordsOf("zh"), { name: "loss", words: "loss" })).toBe(wordsOf("zh").loss);
  expect(wordOf(wordsOf("zh"), { name: "weight_norm", words: "weight norm" })).toBe("weight norm");
});

describe.each([["training", wordsOf], ["faces", faceWords], ["results", resultWords]])("words of %s", (_, of) => {
  test("zh has every word that en has, in its own words", () => {
    expect(Object.keys(of("zh"))).toEqual(Object.keys(of("en")));
    for (const [name, word] of Object.entries(of("zh"))) expect(String(word), name).not.toBe(String(of("en")[name]));
  });

  test("regions have their language's words, other languages English", () => {
    expect(of("zh-TW")).toBe(of("zh"));
    expect(of("fr")).toBe(of("en"));
    expect(of(undefined)).toBe(of("en"));
  });
});
