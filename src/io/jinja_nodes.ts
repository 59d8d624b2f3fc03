/**
 * The syntax tree of the template engine and the interpreter that walks it, as far as they are looked at.
 *
 * @module
 */

import { Environment, Interpreter } from "@huggingface/jinja";
import type { Value } from "./jinja_values.ts";

/** A node of the syntax tree, as far as it is looked at. */
export interface Node {
  type: string;
  // deno-lint-ignore no-explicit-any
  [field: string]: any;
}

/** The interpreter with the methods that its types call private. */
export interface Machine {
  evaluate(node: Node | undefined, environment: Environment): Value;
  evaluateBlock(nodes: Node[], environment: Environment): Value;
  evaluateFor(node: Node, environment: Environment): Value;
  evaluateIdentifier(node: Node, environment: Environment): Value;
  evaluateArguments(nodes: Node[], environment: Environment): [Value[], Map<string, Value>];
  evaluateMemberExpression(node: Node, environment: Environment): Value;
  evaluateBinaryExpression(node: Node, environment: Environment): Value;
  evaluateTestExpression(node: Node, environment: Environment): Value;
  applyFilter(operand: Value, filter: Node, environment: Environment): Value;
}

/** Statements, whose value is no text: all others are expressions. */
export const STATEMENTS = [
  "Set",
  "If",
  "For",
  "Macro",
  "CallStatement",
  "FilterStatement",
  "Comment",
];
/** Statements that capture the text within: it is lost with them. */
export const CAPTURING = ["Set", "CallStatement", "FilterStatement"];

/** What `break` and `continue` throw. The classes are not exported. */
const controlOf = (type: string): unknown => {
  try {
    (new Interpreter(new Environment()) as unknown as Machine).evaluate(
      { type },
      new Environment(),
    );
  } catch (error) {
    return (error as Error).constructor;
  }
};
/** The class of what `break` throws. */
export const BREAK = controlOf("Break");
const CONTINUE = controlOf("Continue");

/** The sizes of parts of syntax trees that were counted. */
const COUNTED = new WeakMap<Node, number>();

/** The node of a value that is there already. */
export const given = (value: Value): Node => ({ type: "Given", value });
/** The node of a named argument. */
export const keyword = (name: string, value: Value): Node => ({
  type: "KeywordArgumentExpression",
  key: { type: "Identifier", value: name },
  value: given(value),
});

/** The nodes of a part of the syntax tree. */
export function nodesOf(node: Node): number {
  const known = COUNTED.get(node);
  if (known !== undefined) return known;
  let count = 0;
  const waiting: unknown[] = [node];
  while (waiting.length > 0) {
    const item = waiting.pop();
    if (typeof item !== "object" || item === null) continue;
    count++;
    const inner = item instanceof Map ? [...item].flat() : Object.values(item);
    for (const part of inner) waiting.push(part);
  }
  COUNTED.set(node, count);
  return count;
}

/** Whether an error is that by which `break` and `continue` leave a loop. */
export function isControl(error: unknown): error is Error & { written?: string } {
  const type = (error as Error)?.constructor;
  return type === BREAK || type === CONTINUE;
}

/** The name of what an expression says, for messages. */
export function nameOf(node: Node): string {
  if (node.type === "Identifier") return String(node.value);
  if (node.type === "MemberExpression") return `${nameOf(node.object)}.${nameOf(node.property)}`;
  const isSpelled = "value" in node && typeof node.value !== "object"; // an operator's is a token
  return isSpelled ? String(node.value) : "the value";
}
