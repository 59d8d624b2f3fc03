import { assertEquals, assertThrows } from "@std/assert";
import { parseYaml } from "../../src/io/yaml.ts";

Deno.test("YAML is read as the values of JSON, under words", () => {
  const text = "a: &x [1, yes, ~]\n2: {b: *x, __proto__: 3}\nday: 2020-01-01\n? c\n? '{d}'\n: 4\n";
  const list = [1, "yes", null];
  const inner = JSON.parse('{"b":[1,"yes",null],"__proto__":3}');
  const want = { 2: inner, a: list, day: "2020-01-01", c: null, "{d}": 4 };
  assertEquals(parseYaml(text), want);
});

Deno.test("a key that is a mapping is refused at any depth, and its place is said", () => {
  const bad: [text: string, where: string][] = [
    ["{a: b}: 1", "a key is"],
    ["? mpt: question\n: 1", "a key is"],
    ["columns:\n  ? mpt: question\n  completion: x", 'a key under "columns" is'],
    ["prompt: {{question}}", 'a key under "prompt" is'],
    ["a: [{b: [c, {[d, {e: f}]: 1}]}]", 'a key under "b" is'],
    ["x: &x {self: *x, {a: b}: 1}", 'a key under "x" is'],
  ];
  for (const [text, where] of bad) {
    const { message } = assertThrows(() => parseYaml(text), SyntaxError);
    const rest = " a mapping, as {…} is: write a word there, in quotes if it begins with {";
    assertEquals(message, where + rest, text);
  }
});

Deno.test("what is no YAML is said in one sentence", () => {
  const deep = "[".repeat(100_000);
  for (const [text, message] of [["a: [", "expected"], ["a: *b", ""], [deep, "nested"]]) {
    const error = assertThrows(() => parseYaml(text), SyntaxError, message);
    assertEquals(error.message.split("; ").at(-1), "repair the file");
    assertEquals(error.message.includes("\n"), false);
  }
});
