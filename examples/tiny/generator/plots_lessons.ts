/**
 * Plots in which someone learns something.
 *
 * @module
 */
import { ALONE, type Plot, TOGETHER } from "./plot.ts";
import { kindSlots } from "./scene.ts";
import { KINDS } from "./world.ts";

const PROMISE: Plot = {
  beats: [
    ALONE,
    '"Please bring me {a colour} {toy} from {place1}," said {friend}. "I will," said {hero}.',
    "On the way {hero.he} met {other} and [played|talked] for a long time. {Hero.he} forgot the {toy}.",
    "When {hero.he} came home, {friend} [was sad|waited by the door].",
    '"I am sorry. I forgot," said {hero}, and {hero.he} ran back at once.',
    "\n[In the evening|Soon] {friend} had {friend.his} {colour} {toy}.",
  ],
};

const LOST_WAY: Plot = {
  beats: [
    "{Hero} was alone in the forest and could not find the way home.",
    '{Hero.he} asked {friend}, "Where is {place}?" "Go left at the big stone," said {friend}.',
    "{Hero} went left, but there was only {a colour} door.",
    'Then {hero.he} asked {other}. "Go right at the big stone," said {other}. "Then go over the bridge."',
    "{Hero} went right and over the bridge. There was {place}!",
    "\n[{Hero} was home before night.|From there {hero.he} knew the way home.]",
  ],
};

const MOON: Plot = {
  beats: [
    "One night {hero} saw the moon in the water. It was round and white.",
    '"[Look|Come quickly], {friend.name}! The moon fell into [the pond|the lake]!" {hero.he} called.',
    "{Friend} took {a toy} and tried to get the moon out. But the water moved, and the moon broke.",
    'Then {other} came. "Look up," said {other}. The moon was still in the sky!',
    "\n[They all laughed, and the moon looked down on them.|{Hero} and {friend} looked at each other and laughed.]",
  ],
};

const SWIMMING: Plot = {
  draw: (random) => {
    const teacher = random.pick(KINDS.filter((kind) => kind.ability === "swim"));
    const pupil = random.pick(KINDS.filter((kind) => kind.ability !== "swim"));
    return { ...kindSlots("friend", teacher), ...kindSlots("hero", pupil) };
  },
  beats: [
    "{Hero} wanted to learn to swim. {Friend} could swim very well.",
    '"[Do not be afraid|It is not hard]," said {friend}. "First put one foot into the water."',
    "The water was cold. On the first day {hero} [only looked at it|put one foot in]. On the second day {hero.he} went in.",
    "On the third day {hero.he} let go and moved {hero.his} legs, as {friend} did.",
    '"You can swim!" called {friend}.',
    "\n[{Hero} was very proud.|After that they swam together every day.]",
  ],
};

const SHARING: Plot = {
  beats: [
    "{Hero} and {friend} found {a food.colour} {food.one} {place.at}.",
    '"I saw it first. It is mine," said {hero}. "No, it is mine," said {friend}.',
    "They were very [loud|angry]. Then {other} came and cut the {food.one} in two.",
    '"One half for {hero.name}, and one half for {friend.name}," said {other}.',
    "\n[They ate the {food.one} and were friends again.|It was a small {food.one}, but it was good.|{Hero} and {friend} gave {other} some of it.]",
  ],
};

const VISITOR: Plot = {
  beats: [
    "{Hero} was at home. Someone knocked on the door.",
    '"Who is there?" asked {hero}. "It is {friend.name}. It is cold outside. May I come in?"',
    '"[Yes, come in|Come in, {friend.name}]," said {hero}. "There is a fire." {Friend} came in and sat by the fire.',
    '[Soon|Then] someone knocked again. "It is {other.name}. May I come in too?" "Yes," said {hero}.',
    "The house was small, but there was enough {hero.likes} for all.",
    "\n[They told stories until the morning.|Outside it was cold, but inside it was warm.]",
  ],
};

const WISH: Plot = {
  beats: [
    "{Hero} [saw a star fall|found an old lamp {spot}] and made a wish.",
    '"I want [to be the biggest of all|to fly like a bird|a hundred {food.many}]," {hero.he} said.',
    "That night {hero.he} had a dream, and in the dream the wish came true.",
    "[But it was not fun.|But it was too much.|At first it was fun.] {Hero} missed {friend} and {hero.his} bed {hero.home}.",
    "In the morning {hero.he} woke up. {Friend} stood at the door with {a colour} {toy}.",
    '\n"I am happy as I am," said {hero}[, and they went out to play|].',
  ],
};

const SURPRISE: Plot = {
  beats: [
    TOGETHER,
    'One day {friend} had no time for {hero}. "I have to go to {place1}," said {friend}.',
    "The next day {friend} had no time again. {Hero} was sad and sat alone.",
    'On the third day {friend} came and said, "Close your eyes!" {Hero} closed {hero.his} eyes.',
    "When {hero.he} opened them, there was {a colour} {toy}. {Friend} had made it for {hero.him}!",
    "\n[{Hero} was not sad any more.|{Hero} hugged {friend} and laughed.]",
  ],
};

/** All plots of this file. */
export const LESSON_PLOTS: readonly Plot[] = [
  PROMISE,
  LOST_WAY,
  MOON,
  SWIMMING,
  SHARING,
  VISITOR,
  WISH,
  SURPRISE,
];
