/**
 * The tiny world: who lives in it, what is in it, and what is always true there.
 *
 * What is listed here as a fact (a fox is fast, a plum is purple, spring comes after winter) is the
 * same in every text, so a model can know it; everything else is drawn for each text, so a model
 * must read it.
 *
 * @module
 */

/** What some kinds of animal can do and others cannot; the text follows "can". */
export const ABILITIES = {
  run: "run fast",
  push: "push a heavy stone",
  creep: "creep into a small hole",
  fly: "fly",
  swim: "swim",
  climb: "climb a tree",
  dig: "dig a hole",
} as const;

/** One of the abilities. */
export type Ability = keyof typeof ABILITIES;

/** A kind of animal. */
export interface Kind {
  noun: string;
  /** Follows "lives". */
  home: string;
  /** What this kind likes to eat, in the plural or uncountable. */
  food: string;
  ability: Ability;
}

/** A thing to eat that can be counted. */
export interface Food {
  one: string;
  many: string;
  colour: string;
  /** Where it is found: follows "are". */
  found: string;
}

/** A place, with the preposition for being there. */
export interface Place {
  noun: string;
  at: string;
}

/** A difficulty, and the thing that helps. */
export interface Need {
  /** A past sentence about the world. */
  trouble: string;
  /** The same in the present. */
  now: string;
  tool: string;
  /** Follows "he" or "she". */
  without: string;
  /** Follows "he" or "she". */
  relief: string;
}

/** Names that are spoken of as "she". */
export const SHE_NAMES = ["Mia", "Lily", "Nora", "Ruby", "Ada", "Quinn"] as const;

/** Names that are spoken of as "he". */
export const HE_NAMES = ["Tom", "Ben", "Max", "Pip", "Oscar", "Finn"] as const;

/** All kinds of animal. */
export const KINDS: readonly Kind[] = [
  { noun: "fox", home: "in a den under the hill", food: "berries", ability: "run" },
  { noun: "horse", home: "in the barn", food: "apples", ability: "run" },
  { noun: "bear", home: "in a cave", food: "honey", ability: "push" },
  { noun: "cow", home: "in a green field", food: "grass", ability: "push" },
  { noun: "mouse", home: "in a hole in the wall", food: "cheese", ability: "creep" },
  { noun: "bee", home: "in a garden", food: "honey", ability: "creep" },
  { noun: "owl", home: "in an old tree", food: "nuts", ability: "fly" },
  { noun: "crow", home: "in a nest on the roof", food: "corn", ability: "fly" },
  { noun: "frog", home: "by the pond", food: "flies", ability: "swim" },
  { noun: "duck", home: "on the lake", food: "bread", ability: "swim" },
  { noun: "otter", home: "by the river", food: "fish", ability: "swim" },
  { noun: "cat", home: "in a house", food: "milk", ability: "climb" },
  { noun: "goat", home: "on a hill", food: "grass", ability: "climb" },
  { noun: "mole", home: "under the garden", food: "worms", ability: "dig" },
  { noun: "rabbit", home: "in a hole in the field", food: "carrots", ability: "dig" },
  { noun: "dog", home: "on the farm", food: "bones", ability: "dig" },
];

/** All colours that a thing can have. */
export const COLOURS = [
  "red",
  "blue",
  "green",
  "yellow",
  "white",
  "black",
  "brown",
  "pink",
] as const;

/** Things that someone can own, carry and give away. */
export const TOYS = [
  "kite",
  "ball",
  "drum",
  "boat",
  "hat",
  "scarf",
  "book",
  "bell",
  "cup",
  "lamp",
  "box",
  "coat",
  "flag",
  "bag",
] as const;

/** Things to eat, each with the colour that it always has. */
export const FOODS: readonly Food[] = [
  { one: "apple", many: "apples", colour: "red", found: "on a tree" },
  { one: "pear", many: "pears", colour: "green", found: "on a tree" },
  { one: "plum", many: "plums", colour: "purple", found: "on a tree" },
  { one: "nut", many: "nuts", colour: "brown", found: "on a tree" },
  { one: "carrot", many: "carrots", colour: "orange", found: "under the ground" },
  { one: "lemon", many: "lemons", colour: "yellow", found: "on a tree" },
  { one: "berry", many: "berries", colour: "blue", found: "in the forest" },
  { one: "egg", many: "eggs", colour: "white", found: "in a nest" },
];

/** All places that one can go to. */
export const PLACES: readonly Place[] = [
  { noun: "the pond", at: "by the pond" },
  { noun: "the river", at: "by the river" },
  { noun: "the lake", at: "by the lake" },
  { noun: "the garden", at: "in the garden" },
  { noun: "the forest", at: "in the forest" },
  { noun: "the field", at: "in the field" },
  { noun: "the barn", at: "in the barn" },
  { noun: "the hill", at: "on the hill" },
  { noun: "the farm", at: "on the farm" },
  { noun: "the market", at: "at the market" },
  { noun: "the mill", at: "at the mill" },
  { noun: "the bridge", at: "on the bridge" },
];

/** Where a small thing, or someone who hides, can be. */
export const SPOTS = [
  "under the bed",
  "under the table",
  "under a big leaf",
  "behind the door",
  "behind the barn",
  "behind a stone",
  "in the tall grass",
  "in an old boot",
  "in the basket",
  "on the shelf",
] as const;

/** Difficulties whose remedy is always the same. */
export const NEEDS: readonly Need[] = [
  {
    trouble: "It began to rain",
    now: "It is raining",
    tool: "umbrella",
    without: "got very wet",
    relief: "stayed dry",
  },
  {
    trouble: "It began to snow",
    now: "It is snowing",
    tool: "coat",
    without: "was very cold",
    relief: "stayed warm",
  },
  {
    trouble: "The night was dark",
    now: "The night is dark",
    tool: "lamp",
    without: "could not see the way",
    relief: "could see the way",
  },
  {
    trouble: "The river was deep",
    now: "The river is deep",
    tool: "boat",
    without: "could not get to the other side",
    relief: "got to the other side",
  },
  {
    trouble: "The shelf was too high",
    now: "The shelf is too high",
    tool: "ladder",
    without: "could not reach it",
    relief: "could reach the top",
  },
  {
    trouble: "The door did not open",
    now: "The door does not open",
    tool: "key",
    without: "had to stay outside",
    relief: "went inside",
  },
  {
    trouble: "The road was full of mud",
    now: "The road is full of mud",
    tool: "cart",
    without: "had mud on both feet",
    relief: "stayed clean",
  },
];

/** Pairs of opposites, and things that can be either. */
export const OPPOSITES: readonly { pair: readonly [string, string]; things: readonly string[] }[] =
  [
    { pair: ["big", "small"], things: ["house", "boat", "garden"] },
    { pair: ["hot", "cold"], things: ["pot", "room"] },
    { pair: ["fast", "slow"], things: ["boat", "cart"] },
    { pair: ["wet", "dry"], things: ["coat", "field"] },
    { pair: ["old", "new"], things: ["mill", "bridge", "book"] },
    { pair: ["happy", "sad"], things: ["song", "story"] },
    { pair: ["loud", "quiet"], things: ["drum", "bell"] },
    { pair: ["full", "empty"], things: ["basket", "cup", "pot"] },
    { pair: ["soft", "hard"], things: ["bed", "ball"] },
    { pair: ["long", "short"], things: ["road", "rope", "scarf"] },
    { pair: ["clean", "dirty"], things: ["cup", "hat", "window"] },
    { pair: ["strong", "weak"], things: ["rope", "bridge"] },
    { pair: ["open", "closed"], things: ["door", "window"] },
    { pair: ["high", "low"], things: ["hill", "wall", "tree"] },
    { pair: ["dark", "light"], things: ["room", "forest"] },
  ];

/** Two colours and what they make when they are mixed. */
export const MIXTURES: readonly (readonly [string, string, string])[] = [
  ["red", "yellow", "orange"],
  ["blue", "yellow", "green"],
  ["red", "blue", "purple"],
  ["red", "white", "pink"],
  ["black", "white", "grey"],
];

/** Riddles, which follow "what", and the things that they mean. */
export const RIDDLES: readonly (readonly [string, string])[] = [
  ["is round and yellow and warm", "sun"],
  ["is white and soft and falls in winter", "snow"],
  ["is small and blue and grows in the forest", "berry"],
  ["is red and round and grows on a tree", "apple"],
  ["is yellow and not sweet", "lemon"],
  ["is full of words but cannot speak", "book"],
  ["has a mouth and is always in its bed", "river"],
  ["has four legs but cannot walk", "table"],
  ["has wings and likes the night", "owl"],
  ["is green and jumps into the pond", "frog"],
  ["is orange and grows under the ground", "carrot"],
  ["makes a light in the dark", "lamp"],
  ["is loud when you hit it", "drum"],
  ["flies in the wind but has no wings", "kite"],
];

/** The seasons in order. */
export const SEASONS = ["spring", "summer", "autumn", "winter"] as const;

/** The days of a week in order. */
export const DAYS = [
  "Monday",
  "Tuesday",
  "Wednesday",
  "Thursday",
  "Friday",
  "Saturday",
  "Sunday",
] as const;

/** The words for 0 to 12. */
export const NUMBERS = [
  "no",
  "one",
  "two",
  "three",
  "four",
  "five",
  "six",
  "seven",
  "eight",
  "nine",
  "ten",
  "eleven",
  "twelve",
] as const;

/** A number of things to eat, in words: "one apple", "three apples". */
export function count(number: number, food: Food): string {
  return `${NUMBERS[number]} ${number === 1 ? food.one : food.many}`;
}
