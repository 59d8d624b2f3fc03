import { assert, assertEquals, assertThrows } from "@std/assert";
import { Random } from "../../../examples/tiny/generator/random.ts";
import { enumerate, expand } from "../../../examples/tiny/generator/template.ts";
import { DataError } from "../../../src/errors.ts";

const SLOTS: Record<string, string> = {
  animal: "owl",
  colour: "red",
  sentence: "{Animal} is {colour}",
};

function expansions(template: string): Set<string> {
  const random = new Random(1);
  const slots = (key: string) => SLOTS[key];
  return new Set(Array.from({ length: 100 }, () => expand(template, slots, random)));
}

Deno.test("a template's choice gives each of its alternatives, nested ones too", () => {
  assertEquals(expansions("[a|b[1|2]|]."), new Set(["a.", "b1.", "b2.", "."]));
});

Deno.test("an alternative that is empty leaves no double space", () => {
  assertEquals(expansions("a [very |] [|] big box"), new Set(["a very big box", "a big box"]));
});

Deno.test("a template's slots are filled, capitalised and given an article", () => {
  assertEquals(
    expansions("{animal} {Animal} {a animal} {A animal} {A colour}"),
    new Set([
      "owl Owl an owl An owl A red",
    ]),
  );
});

Deno.test("a slot's text may name other slots", () => {
  assertEquals(expansions("{sentence}."), new Set(["Owl is red."]));
});

Deno.test("a slot that does not exist is named in the error", () => {
  assertThrows(() => expansions("{Planet}"), DataError, '"planet"');
});

Deno.test("a list is written with commas and one and", () => {
  assertEquals(enumerate([]), "");
  assertEquals(enumerate(["a"]), "a");
  assertEquals(enumerate(["a", "b"]), "a and b");
  assertEquals(enumerate(["a", "b", "c"]), "a, b and c");
});

Deno.test("a sample has different elements and depends on the seed alone", () => {
  const list = Array.from({ length: 20 }, (_, i) => i);
  const samples = [1, 2, 3, 1].map((seed) => new Random(seed).sample(list, 8));
  for (const sample of samples) assertEquals(new Set(sample).size, 8);
  assertEquals(samples[0], samples[3]);
  assert(samples[0].join() !== samples[1].join());
  assertEquals(new Random(5).sample(list, 20).sort((a, b) => a - b), list);
});
