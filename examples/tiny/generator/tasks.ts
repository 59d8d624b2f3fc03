/**
 * The tasks of the instruction set: questions and orders about the tiny world.
 *
 * @module
 */
import { drawAbilities, drawMixture, drawOpposites, drawRiddle, drawSum } from "./draws.ts";
import type { Random } from "./random.ts";
import { COLOURS, DAYS, NEEDS, NUMBERS, SEASONS, TOYS } from "./world.ts";

/** One kind of instruction, as templates filled from one scene. */
export interface Task {
  /** Draws slots of this task's own, again for every row. */
  draw?: (random: Random) => Record<string, string>;
  /** What must be read before the question can be answered. */
  passage?: string;
  /** A question or an order. */
  request: string;
  answer: string;
}

const OWNERS = "{Hero} has {a colour} {toy}. {Friend} has {a colour1} {toy1}.";
const WHEREABOUTS = "{Hero} is {place.at}. {Friend} is {place1.at}.";

/** Answers that stand in the passage. */
const READING: readonly Task[] = [
  {
    passage: OWNERS,
    request: "Question: What colour is the {toy}?",
    answer: "The {toy} is {colour}.",
  },
  {
    passage: OWNERS,
    request: "Question: What colour is the {toy1}?",
    answer: "The {toy1} is {colour1}.",
  },
  {
    passage: OWNERS,
    request: "Question: Who has the {toy}?",
    answer: "{Hero} has the {toy}.",
  },
  {
    passage: OWNERS,
    request: "Question: Who has the {toy1}?",
    answer: "{Friend} has the {toy1}.",
  },
  {
    passage: OWNERS,
    request: "Question: Is the {toy} {colour}?",
    answer: "Yes, the {toy} is {colour}.",
  },
  {
    passage: OWNERS,
    request: "Question: Is the {toy1} {colour1}?",
    answer: "Yes, the {toy1} is {colour1}.",
  },
  {
    passage: OWNERS,
    request: "Question: Is the {toy} {colour1}?",
    answer: "No, the {toy} is {colour}.",
  },
  {
    passage: OWNERS,
    request: "Question: Is the {toy1} {colour}?",
    answer: "No, the {toy1} is {colour1}.",
  },
  {
    passage: "The {toy} is {spot}. The {toy1} is {spot1}.",
    request: "Question: Where is the {toy}?",
    answer: "The {toy} is {spot}.",
  },
  {
    passage: "The {toy} is {spot}. The {toy1} is {spot1}.",
    request: "Question: Where is the {toy1}?",
    answer: "The {toy1} is {spot1}.",
  },
  {
    passage: WHEREABOUTS,
    request: "Question: Where is {hero}?",
    answer: "{Hero} is {place.at}.",
  },
  {
    passage: WHEREABOUTS,
    request: "Question: Where is {friend}?",
    answer: "{Friend} is {place1.at}.",
  },
  {
    passage: WHEREABOUTS,
    request: "Question: Who is {place.at}?",
    answer: "{Hero} is {place.at}.",
  },
  {
    passage: WHEREABOUTS,
    request: "Question: Who is {place1.at}?",
    answer: "{Friend} is {place1.at}.",
  },
];

/** Answers that follow from the passage. */
const REASONING: readonly Task[] = [
  {
    passage: "{Hero} has {a toy}. {Hero.he} gives it to {friend}.",
    request: "Question: Who has the {toy} now?",
    answer: "{Friend} has the {toy} now.",
  },
  {
    draw: (random) => drawSum(random, 1),
    passage: "{Hero} has {had}. {Hero.he} gets {changeNumber} more.",
    request: "Question: How many {thing} does {hero} have now?",
    answer: "{Hero} has {now} now.",
  },
  {
    draw: (random) => drawSum(random, -1),
    passage: "{Hero} has {had}. {Hero.he} eats {changeNumber}.",
    request: "Question: How many {thing} does {hero} have now?",
    answer: "{Hero} has {now} now.",
  },
  {
    draw: (random) => ({ quality: random.pick(["bigg", "fast", "old", "strong", "small"]) }),
    passage: "{Hero} is {quality}er than {friend}. {Other} is {quality}er than {hero}.",
    request: "Question: Who is the {quality}est?",
    answer: "{Other} is the {quality}est.",
  },
  {
    draw: (random) => {
      const { now, tool } = random.pick(NEEDS);
      return { now, tool };
    },
    passage: "{Now}.",
    request: "Question: What does {hero} need?",
    answer: "{Hero} needs {a tool}.",
  },
];

/** Answers that are always true in the tiny world. */
const KNOWING: readonly Task[] = [
  {
    draw: drawOpposites,
    request: "Question: What is the opposite of {one}?",
    answer: "The opposite of {one} is {two}.",
  },
  {
    draw: (random) => drawAbilities(random, ["hero"]),
    request: "Question: Can {a hero.kind} {hero.can}?",
    answer: "Yes, {a hero.kind} can {hero.can}.",
  },
  {
    draw: (random) => drawAbilities(random, ["hero", "friend"]),
    request: "Question: Can {a hero.kind} {friend.can}?",
    answer: "No, {a hero.kind} cannot {friend.can}.",
  },
  {
    request: "Question: [Where does {a hero.kind} live|Where is the home of {a hero.kind}]?",
    answer: "{A hero.kind} lives {hero.home}.",
  },
  {
    draw: drawMixture,
    request: "Question: What do {one} and {two} make?",
    answer: "{One} and {two} make {mixed}.",
  },
  {
    draw: (random) => {
      const list = random.pick([DAYS, SEASONS]);
      const first = random.below(list.length - 1);
      return { first: list[first], next: list[first + 1] };
    },
    request: "Question: What comes after {first}?",
    answer: "{Next} comes after {first}.",
  },
  {
    draw: drawRiddle,
    request: "Question: What {riddle}?",
    answer: "It is the {answer}.",
  },
];

/** Orders whose result is a text. */
const WRITING: readonly Task[] = [
  {
    draw: (random) => {
      const words = random.sample(random.pick([COLOURS, TOYS, NUMBERS.slice(1)] as string[][]), 3);
      return { words: words.join(", "), turned: words.toReversed().join(", ") };
    },
    request: "Task: Turn the words around: {words}.",
    answer: "{turned}.",
  },
  {
    draw: (random) => {
      const first = 1 + random.below(7);
      const last = first + 2 + random.below(4);
      return {
        first: NUMBERS[first],
        last: NUMBERS[last],
        row: NUMBERS.slice(first, last + 1).join(", "),
      };
    },
    request: "Task: Count from {first} to {last}.",
    answer: "{row}.",
  },
  {
    draw: (random) => {
      const [now, past] = random.pick([
        ["walks", "walked"],
        ["runs", "ran"],
        ["goes", "went"],
        ["comes", "came"],
      ]);
      return { now, past };
    },
    request: "Task: Tell it as if it was long ago: {Hero} {now} to {place} with {a colour} {toy}.",
    answer: "Long ago, {hero.name} the {hero.kind} {past} to {place} with {a colour} {toy}.",
  },
  {
    request: "Task: Tell a story about {hero} and {a colour} {toy}.",
    answer:
      "[One day {hero} lost the {colour} {toy}. {Hero.he} looked {spot} and {spot1}. At last " +
      "{friend} found it {spot2}." +
      "|{Hero} had {a colour} {toy}. It fell into the river, and {hero} was sad. {Friend} gave " +
      "{hero.him} a new one." +
      "|{Hero} found {a colour} {toy} {place.at}. It was not {hero.his} {toy}, so {hero.he} gave it " +
      "to {friend}.]",
  },
];

/** All tasks, each as likely as any other. */
export const TASKS: readonly Task[] = [...READING, ...REASONING, ...KNOWING, ...WRITING];
