/**
 * Plots in which friends do something together.
 *
 * @module
 */
import { ALONE, type Plot, TOGETHER } from "./plot.ts";
import { kindSlots } from "./scene.ts";
import { enumerate, withArticle } from "./template.ts";
import { FOODS, KINDS, TOYS } from "./world.ts";

const TRADE: Plot = {
  beats: [
    TOGETHER,
    "{Hero} had {a colour} {toy}, and {friend} had {a colour1} {toy1}.",
    '"I like your {toy1}," said {hero}. "And I like your {toy}," said {friend}.',
    "[So they traded.|They looked at each other and laughed. Then they traded.]",
    "Now {hero} had the {colour1} {toy1}, and {friend} had the {colour} {toy}.",
    "\n[Both were happy.|Both went home with something new.|It was a good day for both of them.]",
  ],
};

const RACE: Plot = {
  draw: (random) => {
    const fast = random.pick(KINDS.filter((kind) => kind.ability === "run"));
    const slow = random.pick(KINDS.filter((kind) => kind.ability === "creep"));
    return { ...kindSlots("friend", fast), ...kindSlots("hero", slow) };
  },
  beats: [
    '"I am faster than you," said {friend} to {hero}. "Let us race to {place}!"',
    "[One, two, three, and they ran.|They began to run.] {Friend} was fast, and {hero} was slow.",
    "But {friend} saw {a food.colour} {food.one} and stopped to eat[ it|]. [Then {friend.he} sat down and slept.|Then {friend.he} stopped to play with {a toy}.]",
    "{Hero} did not stop. {Hero.he} went on and on, step by step.",
    "\nWhen {friend} came to {place}, {hero} was there. [{Hero} had won the race!|The slow {hero.kind} had won!]",
  ],
};

const HIDING: Plot = {
  beats: [
    "{Hero}, {friend} and {other} played hide and seek {place.at}.",
    "{Hero} closed {hero.his} eyes and counted: one, two, three, four, five.",
    "{Friend} hid {spot}, and {other} hid {spot1}.",
    "[{Hero} looked {spot2}, but no one was there.|{Hero} looked and looked.]",
    'Then {hero.he} looked {spot}. "I see you, {friend.name}!" {hero.he} [said|called].',
    'Then {hero.he} looked {spot1}. "I see you, {other.name}!"',
    "\n[Next it was {friend} who had to seek.|They played until the sun went down.|They laughed and played again.]",
  ],
};

const BIRTHDAY: Plot = {
  beats: [
    "It was the birthday of {hero}.",
    "{Friend} came and gave {hero.him} {a colour} {toy}. {Other} came and gave {hero.him} {a colour1} {toy1}.",
    "[There was a big cake with {food.many} in it.|They ate cake with {food.many}.] [They sang a song|They danced and sang].",
    'In the evening {hero.his} mother asked, "Who gave you the {toy}?"',
    '"{friend.name} gave me the {toy}, and {other.name} gave me the {toy1}," said {hero}.',
    "\n[It was the best day of the year.|{Hero} was tired and happy.]",
  ],
};

const COOKING: Plot = {
  draw: (random) => ({ soup: enumerate(random.sample(FOODS, 3).map((food) => food.many)) }),
  beats: [
    "{Hero} wanted to [cook soup|make a big soup|bake a pie]. {Hero.he} needed {soup}.",
    "{Hero.he} [went to {place}|looked {spot}] and found everything in a basket.",
    "First {hero.he} cut the food. Then {hero.he} put it in a pot and made a fire.",
    '{Friend} [smelled the food and|] came to the door. "That smells good," said {friend}. "May I have some?"',
    '"Yes, [sit down|come in]," said {hero}. The pot was hot, so they waited until it was cold enough.',
    "\n[They ate until the pot was empty.|They ate it all and were full and happy.]",
  ],
};

const BUILDING: Plot = {
  draw: (random) => {
    const [thing, use] = random.pick([
      ["a house", "slept in it"],
      ["a boat", "sailed over the lake in it"],
      ["a bridge", "walked over it"],
      ["a cart", "rode home in it"],
      ["a swing", "played on it"],
    ]);
    return { thing, use };
  },
  beats: [
    TOGETHER,
    'They wanted to build {thing}. "We need wood and a rope," said {hero}.',
    "{Hero} brought the wood, and {friend} brought the rope.",
    "[They worked in the sun|They worked hard] all [day|morning]. The first one broke, [but they did not stop|so they tried again].",
    "The second one was strong and good. They painted it {colour}.",
    "\n[In the evening|Then|At last] they {use}. [{Friend} sang for joy.|They were very proud.]",
  ],
};

const MAP: Plot = {
  draw: (random) => ({
    treasure: enumerate(random.sample(TOYS, 2).map((toy) => withArticle(toy))),
  }),
  beats: [
    ALONE,
    "{Hero.he} found an old map {spot}. [It showed the way|A line on it led] to a treasure.",
    "{Hero.he} showed the map to {friend}. They went past {place1} and came to {place2}.",
    "There they [began to dig|dug a deep hole]. They dug and dug until they found a [big|small|heavy] box.",
    "[The box was closed, but {friend} had a key.|{Friend} opened the box.] In the box were {treasure}.",
    "\n[They shared the treasure and were happy.|They took the treasure home and laughed all the way.]",
  ],
};

const LETTER: Plot = {
  beats: [
    "{Hero} [wrote a letter|got a letter from {friend} and wrote back]. The letter said:",
    '"Dear {friend.name}, [I live {hero.home} now|the weather is [cold|warm|good] here]. I have {a colour} {toy}. Please come and see me. Your {hero.name}."',
    "{Other} carried the letter to {place}, where {friend} lived.",
    "{Friend} read the letter and smiled. {Friend.he} put {a food.one} in {friend.his} bag and went [the long way|] to see {hero}.",
    "\n[When they met, they hugged each other.|{Hero} showed {friend.him} the {colour} {toy}, and they played with it.]",
  ],
};

const MUSIC: Plot = {
  draw: (random) => {
    const [tool, sound] = random.pick([
      ["a drum", "boom, boom, boom"],
      ["a bell", "ding, ding, ding"],
      ["a horn", "toot, toot, toot"],
    ]);
    return { tool, sound };
  },
  beats: [
    ALONE,
    '{Hero.he} had {tool}. "{Sound}!" it went.',
    'It was very loud. "Please be quiet," said {friend}. "I want to sleep."',
    "{Hero} was sorry and went away. Then {hero.he} met {other}.",
    '"I like your music," said {other}. "Let us play together." So {hero} played, and {other} sang.',
    "\n[Soon all the animals danced.|When {friend} woke up, {friend.he} came and danced too.]",
  ],
};

const PLANT: Plot = {
  draw: (random) => {
    const { one, many, colour } = random.pick(FOODS.filter((food) => food.found === "on a tree"));
    return { fruit: one, fruits: many, fruitColour: colour };
  },
  beats: [
    "{Hero} had a [small|little] seed. {Hero.he} dug a hole {place.at} and put it in.",
    "Every day {hero.he} gave it water. [The sun was warm.|The rain helped too.] But nothing came up.",
    '"You must wait," said {friend}. So {hero} waited.',
    "In spring there was a small green leaf. In summer there was a tree. In autumn there were {fruitColour} {fruits} on it.",
    "\n[{Hero} shared the {fruits} with {friend}.|{Hero} ate {a fruit} and kept the seed for the next year.]",
  ],
};

/** All plots of this file. */
export const TOGETHER_PLOTS: readonly Plot[] = [
  TRADE,
  RACE,
  HIDING,
  BIRTHDAY,
  COOKING,
  BUILDING,
  MAP,
  LETTER,
  MUSIC,
  PLANT,
];
