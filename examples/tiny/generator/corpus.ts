/**
 * The text on which the tiny model is trained: short stories about the tiny world.
 *
 * @module
 */
import { chronicle } from "./chronicle.ts";
import type { Plot } from "./plot.ts";
import { COUNTING_PLOTS } from "./plots_counting.ts";
import { FACT_PLOTS } from "./plots_facts.ts";
import { LESSON_PLOTS } from "./plots_lessons.ts";
import { TOGETHER_PLOTS } from "./plots_together.ts";
import { TROUBLE_PLOTS } from "./plots_trouble.ts";
import { Random } from "./random.ts";
import { drawScene } from "./scene.ts";
import { expand } from "./template.ts";

/** Every plot of the corpus. */
export const PLOTS: readonly Plot[] = [
  ...TROUBLE_PLOTS,
  ...TOGETHER_PLOTS,
  ...LESSON_PLOTS,
  ...COUNTING_PLOTS,
  ...FACT_PLOTS,
];

/** Tells one plot in a scene of its own: one or two paragraphs, without a final newline. */
export function tell(plot: Plot, random: Random): string {
  const slots = drawScene(random, plot.draw?.(random));
  return plot.beats.map((beat) => expand(beat, slots, random)).join(" ").replaceAll(" \n", "\n");
}

/**
 * Writes `count` texts, of which every third is a chronicle on average.
 *
 * The same seed gives the same texts, another seed others.
 */
export function* stories(count: number, seed: number): Generator<string> {
  const random = new Random(seed);
  for (let i = 0; i < count; i++) {
    yield random.below(3) === 0 ? chronicle(random) : tell(random.pick(PLOTS), random);
  }
}
