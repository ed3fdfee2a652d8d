import { describe, expect, test } from "vitest";

import { Runs, STEP, latest, stepsDone, withPoints } from "../../../web/training/series.js";

const [LOSS, OUTSIDE, VALIDATION] = [1, 3, 5];
const point = (step, loss = step / 10, validation = null) => [step, loss, 0.1, null, loss, validation, 1e-4, 0.3];
const message = (points, more = {}) => ({
  node: "12",
  prompt: "p",
  run: "loras/a",
  steps: 100,
  state: "running",
  points,
  eta: 3,
  sample: null,
  told: 1,
  ...more,
});
const steps = (run) => run.points.map((each) => each[STEP]);
const any = () => true;

describe("withPoints", () => {
  test("puts new points behind the old ones", () => {
    expect(withPoints([point(1), point(2)], [point(3)]).map(([step]) => step)).toEqual([1, 2, 3]);
  });

  test("keeps what a later message of the same step leaves open", () => {
    const [, merged] = withPoints([point(1), point(2, 0.5)], [[2, null, null, 0.7, null, 0.4, null, null]]);
    expect(merged).toEqual([2, 0.5, 0.1, 0.7, 0.5, 0.4, 1e-4, 0.3]);
  });

  test("puts late points between the others", () => {
    expect(withPoints([point(1), point(5)], [point(3), point(6)]).map(([step]) => step)).toEqual([1, 3, 5, 6]);
  });

  test("changes neither of its arguments", () => {
    const before = Object.freeze([Object.freeze(point(1))]);
    withPoints(before, Object.freeze([point(1, 0.9)]));
    expect(before[0][LOSS]).toBe(0.1);
  });
});

describe("latest", () => {
  test("passes over steps without a value", () => {
    expect(latest([point(1, 0.1, 0.8), point(2)], VALIDATION)).toBe(0.8);
    expect(latest([point(1), point(2)], OUTSIDE)).toBeNull();
  });

  test("zero is a value", () => {
    expect(latest([point(1), point(2, 0)], LOSS)).toBe(0);
  });

  test("no step is done before the first", () => {
    expect(stepsDone(message([]))).toBe(0);
    expect(stepsDone(message([point(4)]))).toBe(4);
  });
});

describe("Runs", () => {
  test("a message goes on with the run of its node and prompt", () => {
    const runs = new Runs();
    runs.add(message([point(1)]));
    expect(runs.add(message([point(2)], { state: "finished", eta: null }))).toBe(true);
    expect(steps(runs.find(any))).toEqual([1, 2]);
    expect(runs.find(any).state).toBe("finished");
  });

  test("an unknown run and a new prompt have to be asked for", () => {
    const runs = new Runs();
    expect(runs.add(message([point(7)]))).toBe(false);
    expect(runs.add(message([point(8)], { prompt: "q" }))).toBe(false);
    expect(steps(runs.find(any))).toEqual([8]);
  });

  test("the server is asked again before a long run fills the browser", () => {
    const runs = new Runs();
    runs.add(message([point(0)]));
    const many = Array.from({ length: 7000 }, (_, index) => point(index + 1));
    expect(runs.add(message(many.slice(0, 3000)))).toBe(true);
    expect(runs.add(message(many.slice(3000)))).toBe(false);
  });

  test("nodes train side by side, each found by its own id", () => {
    const runs = new Runs();
    runs.add(message([point(1)]));
    runs.add(message([point(2)], { node: "3:4", run: "loras/b" }));
    expect(runs.find(({ node }) => node === "12").run).toBe("loras/a");
    expect(runs.find(({ node }) => node === "3:4").run).toBe("loras/b");
    expect(runs.find(({ node }) => node === "99")).toBeNull();
  });

  test("of several runs of a node the one heard of last is found", () => {
    const runs = new Runs();
    runs.add(message([point(1)]));
    runs.add(message([point(1)], { run: "loras/b" }));
    expect(runs.find(any).run).toBe("loras/b");
    runs.add(message([point(2)]));
    expect(runs.find(any).run).toBe("loras/a");
  });

  test("the server's list replaces what is known, but not what came in meanwhile", () => {
    const runs = new Runs();
    runs.add(message([point(5), point(6)], { told: 3 }));
    runs.replace([message([point(1), point(3), point(5)], { told: 2 })]);
    expect(steps(runs.find(any))).toEqual([1, 3, 5, 6]);
  });

  test("a list that the end of a run has overtaken does not bring it back", () => {
    const runs = new Runs();
    runs.add(message([point(1)], { told: 1 }));
    runs.add(message([], { told: 3, state: "finished", eta: null }));
    runs.replace([message([point(0), point(1)], { told: 2 })]);
    expect(runs.find(any).state).toBe("finished");
    expect(steps(runs.find(any))).toEqual([0, 1]);
  });

  test("a list that came later is believed", () => {
    const runs = new Runs();
    runs.add(message([point(1), point(2)], { told: 2 }));
    runs.replace([message([point(1), point(2)], { told: 3, state: "failed" })]);
    expect(runs.find(any).state).toBe("failed");
  });

  test("points of another prompt are not mixed in", () => {
    const runs = new Runs();
    runs.add(message([point(9)], { prompt: "old" }));
    runs.replace([message([point(1)])]);
    expect(steps(runs.find(any))).toEqual([1]);
  });
});
