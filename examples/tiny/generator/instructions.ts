/**
 * The instruction set for the tiny model: a form that its training text does not have, about the
 * world that it has.
 *
 * @module
 */
import { Random } from "./random.ts";
import { drawScene } from "./scene.ts";
import { type Task, TASKS } from "./tasks.ts";
import { expand } from "./template.ts";

/** One row of the instruction set. The completion starts with the space that separates the two. */
export interface Instruction {
  prompt: string;
  completion: string;
}

/**
 * Writes two sets of instructions, drawn alike, with no prompt twice.
 *
 * The same seed gives the same sets.
 */
export function instructions(
  trainCount: number,
  evalCount: number,
  seed: number,
): { train: Instruction[]; eval: Instruction[] } {
  const random = new Random(seed);
  const rows = new Map<string, Instruction>();
  while (rows.size < trainCount + evalCount) {
    const row = instruct(random.pick(TASKS), random);
    rows.set(row.prompt, row);
  }
  // Tasks of few prompts run dry, so later rows are of other tasks than earlier ones.
  const shuffled = random.sample([...rows.values()], rows.size);
  return { train: shuffled.slice(evalCount), eval: shuffled.slice(0, evalCount) };
}

function instruct(task: Task, random: Random): Instruction {
  const slots = drawScene(random, task.draw?.(random));
  const write = (template: string) => expand(template, slots, random);
  const passage = task.passage ? write(task.passage) + "\n" : "";
  return {
    prompt: passage + write(task.request) + "\nAnswer:",
    completion: " " + write(task.answer),
  };
}
