/**
 * Plots in which something goes wrong and is put right.
 *
 * @module
 */
import { drawAbilities } from "./draws.ts";
import { ALONE, type Plot, TOGETHER } from "./plot.ts";
import { type Ability, NEEDS } from "./world.ts";

/** How a toy is lost, and how someone with that ability gets it back. */
const RESCUES: Readonly<Record<Ability, { trouble: string; rescue: string }>> = {
  run: {
    trouble: "rolled down a long hill",
    rescue: "ran down the hill and got the {toy}",
  },
  push: {
    trouble: "was under a heavy stone",
    rescue: "pushed the stone away and found the {toy}",
  },
  creep: {
    trouble: "fell into a small hole",
    rescue: "crept into the hole and got the {toy}",
  },
  fly: {
    trouble: "was on the roof",
    rescue: "flew up to the roof and got the {toy}",
  },
  swim: {
    trouble: "fell into the river",
    rescue: "swam out and brought the {toy} back",
  },
  climb: {
    trouble: "was high up in a tree",
    rescue: "climbed the tree and got the {toy}",
  },
  dig: {
    trouble: "was deep under the ground",
    rescue: "dug a hole and found the {toy}",
  },
};

const LOST: Plot = {
  beats: [
    ALONE,
    "{Hero.he} [could not find|had lost] {hero.his} {colour} {toy}[ and was very sad|].",
    '{Friend} [came by and|] asked, "[What is wrong|Why are you sad], {hero.name}?"',
    '"[I lost|I cannot find] my {colour} {toy}," said {hero}. "[I will help you|Let us look for it]," said {friend}.',
    "They looked {spot}, but it was not there.",
    "Then they looked {spot1}, and there was the {toy}!",
    "\n[{Hero} was happy again.|{Hero} thanked {friend}, and they went home together.|From that day on, {hero} kept the {toy} {spot2}.]",
  ],
};

const HELPERS: Plot = {
  draw: (random) => {
    const slots = drawAbilities(random, ["hero", "friend", "other"]);
    return { ...slots, ...RESCUES[slots["other.ability"] as Ability] };
  },
  beats: [
    ALONE,
    "{Hero.he} had {a colour} {toy}. But the {toy} {trouble}!",
    '{Hero} asked {friend} for help. "I am {a friend.kind}. I cannot {other.can}," said {friend.name}.',
    '[So|Then] {hero} asked {other}. "I [am {a other.kind}. I|] can {other.can}," said {other.name}.',
    "{Other.he} [quickly|] {rescue}.",
    '\n["Thank you, {other.name}!" said {hero}.|{Hero} was very happy and gave {other} {a food.one}.|{Hero} said thank you, and all three were happy.]',
  ],
};

const NEED: Plot = {
  draw: (random) => ({ ...random.pick(NEEDS) }),
  beats: [
    TOGETHER,
    "{Trouble}.",
    "[{Hero} had {a tool}, but {friend} had no {tool}.|{Friend} had no {tool}, but {hero} had one.]",
    "So {hero} {relief}, and {friend} {without}.",
    '\n["Come here, {friend.name}," said {hero}. "We can share my {tool}."|"Take my {tool}," said {hero}.|{Hero} was kind and shared {hero.his} {tool}.]',
    "[Soon|Then] {friend} {relief} too[, and they went on together|].",
  ],
};

const BROKEN: Plot = {
  beats: [
    ALONE,
    "{Hero.he} [played with|took] the {colour} {toy} of {friend}, and it broke.",
    "[{Hero} was afraid.|{Hero} did not know what to do.] First {hero.he} hid the {toy} {spot}.",
    'Then {friend} came and asked, "Where is my {toy}?"',
    '"I broke it. I am sorry," said {hero}.',
    '"[Thank you for telling me the truth|Do not be sad]," said {friend}. "We can mend it."',
    "\n[They worked all day, and in the evening the {toy} was as good as new.|Together they mended the {colour} {toy}, and they were still friends.]",
  ],
};

const NIGHT: Plot = {
  draw: (random) => ({
    sound: random.pick(["a loud knock", "a long cry", "a strange song", "a soft step"]),
    thing: random.pick(["the wind", "the rain", "a little bird", "a big leaf"]),
  }),
  beats: [
    "[It was a dark night.|The night was dark and cold.|The moon was behind the clouds.] {Hero} was [in bed|at home].",
    "[Then|Suddenly] {hero.he} heard {sound}. {Hero.he} was afraid.",
    '{Hero.he} ran to {friend} and said, "[There is something outside|Did you hear it]!"',
    "{Friend} took a lamp, and they looked {spot}. There was [nothing|no one] there.",
    "[Then they opened the door|They looked again]. It was only {thing}!",
    "\n[They laughed and went back to bed.|{Hero} laughed. After that {hero.he} was not afraid of the night.]",
  ],
};

const WIND: Plot = {
  beats: [
    "The wind was [strong|very strong|blowing]. {Hero} was on the way to {place}.",
    "The wind took {hero.his} {colour} {toy} and carried it away.",
    "{Hero.he} ran after it, past {place1}[ and over a bridge|].",
    "At last the {toy} fell down {spot}. But someone was there: it was {friend}!",
    '"Is this your {toy}?" asked {friend}. "Yes, it is mine," said {hero}.',
    "\n[{Friend} gave it back, and they became friends.|{Friend} smiled and gave {hero.him} the {colour} {toy}.]",
  ],
};

const ILL: Plot = {
  beats: [
    "{Friend} was ill and had to stay in bed.",
    "{Hero} [heard about it|was worried]. {Hero.he} [cooked|made] soup and [put|took] some {food.many} in a basket.",
    "{Hero} went to {friend.his} house and opened the door.",
    '"I have brought you soup and {food.many}," said {hero}. "Thank you," said {friend}. "You are a good friend."',
    "{Friend} ate the soup and slept all night.",
    "\nThe next [day|morning], {friend} was well again, and they [played {place.at}|walked to {place}].",
  ],
};

/** All plots of this file. */
export const TROUBLE_PLOTS: readonly Plot[] = [LOST, HELPERS, NEED, BROKEN, NIGHT, WIND, ILL];
