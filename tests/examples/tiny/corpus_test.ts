import { assert, assertEquals, assertMatch, assertNotEquals } from "@std/assert";
import { PLOTS, stories, tell } from "../../../examples/tiny/generator/corpus.ts";
import { drawSum } from "../../../examples/tiny/generator/draws.ts";
import { Random } from "../../../examples/tiny/generator/random.ts";
import { drawScene } from "../../../examples/tiny/generator/scene.ts";
import {
  FOODS,
  HE_NAMES,
  KINDS,
  NUMBERS,
  SHE_NAMES,
} from "../../../examples/tiny/generator/world.ts";

Deno.test("the same seed tells the same stories, another seed others", () => {
  const told = (seed: number) => [...stories(50, seed)];
  assertEquals(told(1), told(1));
  const first = new Set(told(1));
  assert(told(2).every((story) => !first.has(story)));
});

Deno.test("every plot gives whole sentences in every scene", () => {
  const random = new Random(3);
  for (const plot of PLOTS) {
    for (let i = 0; i < 100; i++) {
      const story = tell(plot, random);
      assertMatch(story, /^"?[A-Z][A-Za-z ,.:?!"\n]*[.!?]"?$/);
      assert(!/ {2}| \n|\n | [,.?!]|\ba [aeiou]|\ban [^aeiou]/.test(story), story);
      assertEquals(story.split('"').length % 2, 1, `unclosed quotation: ${story}`);
      for (const sentence of story.match(/(?<=[.!?] |\n)\w+/g) ?? []) {
        assertMatch(sentence, /^[A-Z]/, story);
      }
    }
  }
});

Deno.test("characters of a story differ in name and kind", () => {
  for (const story of stories(500, 4)) {
    const full = new Set(story.match(/\b[A-Z]\w+ the [a-z]+\b/g));
    const ofKinds = [...full].filter((name) => KINDS.some(({ noun }) => name.endsWith(` ${noun}`)));
    assertEquals(new Set(ofKinds.map((name) => name.split(" ")[0])).size, ofKinds.length, story);
    assertEquals(new Set(ofKinds.map((name) => name.split(" ")[2])).size, ofKinds.length, story);
  }
});

Deno.test("a character is introduced once, and spoken of by its own pronoun", () => {
  for (let seed = 0; seed < 50; seed++) {
    const slots = drawScene(new Random(seed));
    const name = slots("hero.name")!;
    assertEquals(slots("hero"), `${name} the ${slots("hero.kind")}`);
    assertEquals(slots("hero"), name);
    assertEquals(slots("hero.named"), name);
    const names: readonly string[] = slots("hero.he") === "she" ? SHE_NAMES : HE_NAMES;
    assert(names.includes(name));
  }
});

Deno.test("slots of a text's own come before those of its scene", () => {
  assertEquals(drawScene(new Random(1), { toy: "moon" })("toy"), "moon");
  assertNotEquals(drawScene(new Random(1))("toy"), "moon");
});

Deno.test("what is counted adds up", () => {
  const random = new Random(5);
  for (const sign of [1, -1] as const) {
    for (let i = 0; i < 200; i++) {
      const { had, change, now, thing } = drawSum(random, sign);
      const food = FOODS.find(({ many }) => many === thing)!;
      const [a, b, c] = [had, change, now].map((phrase) => {
        const [number, noun] = phrase.split(" ");
        const value = (NUMBERS as readonly string[]).indexOf(number);
        assertEquals(noun, value === 1 ? food.one : food.many);
        return value;
      });
      assertEquals(a + sign * b, c);
    }
  }
});

Deno.test("only a kind that can do it helps", () => {
  let seen = 0;
  for (const story of stories(2000, 6)) {
    for (
      const [, ability, name] of story.matchAll(/I can (fly|swim|dig|climb)[^"]*," said (\w+)/g)
    ) {
      const kind = story.match(new RegExp(`${name} the (\\w+)`))![1];
      assertEquals(KINDS.find(({ noun }) => noun === kind)!.ability, ability, story);
      seen++;
    }
  }
  assert(seen > 20);
});
