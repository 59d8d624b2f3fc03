/**
 * The interpreter of `@huggingface/jinja` as it renders here: with what it does in another way than
 * Python repaired, and with all that it does counted.
 *
 * Both is done on the interpreter's instance, not on the package's classes, which others may use: text
 * before `continue` and `break` is kept, a variable set in an iteration ends with it, values print and
 * compare as in Python, and names that do not exist have no attributes.
 *
 * @module
 */

import { Environment, Interpreter } from "@huggingface/jinja";
import type { Budget } from "./jinja_budget.ts";
import {
  COUNTED_BY_ARGUMENTS,
  countFilter,
  countSlice,
  expectJoinable,
  type FilterArguments,
} from "./jinja_filters.ts";
import {
  asOperand,
  dictionaryMethod,
  filtered,
  filterMethod,
  stringMethod,
  valueFilter,
  valueTest,
} from "./jinja_methods.ts";
import {
  BREAK,
  CAPTURING,
  given,
  isControl,
  keyword,
  type Machine,
  nameOf,
  type Node,
  nodesOf,
  STATEMENTS,
} from "./jinja_nodes.ts";
import {
  concatenated,
  contains,
  equal,
  expectDivisor,
  isList,
  isMapping,
  isString,
  preceded,
  printed,
  remainder,
  UNDEFINED,
  type Value,
  wrap,
} from "./jinja_values.ts";

/** Steps for an iteration, for which the engine makes an environment and the variable `loop`. */
const ITERATION_STEPS = 16;
/** Characters of a text that is worth counting again when it leaves its block. */
const LONG = 1 << 16;
const NO_ARGUMENTS: FilterArguments = { positional: [], named: new Map() };
/** The interpreter for an environment, repaired, which counts all that it does. */
export function repaired(global: Environment, budget: Budget): Machine {
  const machine = new Interpreter(global) as unknown as Machine;
  const original = {
    evaluate: machine.evaluate.bind(machine),
    for: machine.evaluateFor.bind(machine),
    arguments: machine.evaluateArguments.bind(machine),
    member: machine.evaluateMemberExpression.bind(machine),
    binary: machine.evaluateBinaryExpression.bind(machine),
    test: machine.evaluateTestExpression.bind(machine),
    filter: machine.applyFilter.bind(machine),
  };
  /** The loops that are running, the innermost last. */
  const loops: { body: Node[]; broken: boolean }[] = [];

  machine.evaluate = (node, environment) => {
    if (node?.type === "Given") return node.value;
    budget.enter();
    try {
      // What a macro names is looked for in all of it each time that it is defined or called with a block.
      if (node?.type === "Macro" || node?.type === "CallStatement") budget.spend(nodesOf(node));
      return original.evaluate(node, environment);
    } catch (error) {
      if (isControl(error) && CAPTURING.includes(node?.type ?? "")) error.written = "";
      throw error;
    } finally {
      budget.leave();
    }
  };

  machine.evaluateIdentifier = ({ value: name }, environment) => {
    for (let scope: Environment | undefined = environment; scope; scope = scope.parent) {
      const value = scope.variables.get(name) as unknown as Value | undefined;
      if (value !== undefined) return value;
    }
    return UNDEFINED;
  };

  machine.evaluateArguments = (nodes, environment) => {
    const [positional, named] = original.arguments(nodes, environment);
    for (const value of [...positional, ...named.values()]) {
      if (isList(value)) budget.spend(value.value.length);
      else if (isMapping(value)) budget.spend(value.value.size);
    }
    return [positional, named];
  };

  machine.evaluateBlock = (nodes, environment) => {
    const loop = loops.at(-1);
    const isBody = loop?.body === nodes;
    if (isBody && loop.broken) return wrap("");
    const scope = isBody ? new Environment(environment) : environment;
    let text = "";
    for (const node of nodes) {
      try {
        const value = machine.evaluate(node, scope);
        const isText = !STATEMENTS.includes(node.type);
        const piece = isText ? printed(value, budget) : isString(value) ? value.value : "";
        budget.write(piece.length);
        text += piece;
      } catch (error) {
        if (!isControl(error)) throw error;
        text += error.written ?? "";
        if (!isBody) throw Object.assign(error, { written: text });
        loop.broken = error.constructor === BREAK;
        break;
      }
    }
    if (text.length > LONG) budget.write(text.length);
    return wrap(text);
  };

  machine.evaluateFor = (node, environment) => {
    const { iterable } = node;
    const source = iterable.type === "SelectExpression" ? iterable.lhs : iterable;
    let values = machine.evaluate(source, environment);
    if (values.type === "UndefinedValue") values = wrap([]);
    if (isString(values)) {
      budget.spend(values.value.length);
      values = wrap([...values.value]);
    }
    const count = isList(values) ? values.value.length : isMapping(values) ? values.value.size : 0;
    budget.spend(ITERATION_STEPS * count);
    const over = source === iterable ? given(values) : { ...iterable, lhs: given(values) };
    loops.push({ body: node.body, broken: false });
    try {
      const text = original.for({ ...node, iterable: over }, environment);
      budget.write(text.value.length);
      return text;
    } finally {
      loops.pop();
    }
  };

  machine.evaluateMemberExpression = (node, environment) => {
    const object = machine.evaluate(node.object, environment);
    if (object.type === "UndefinedValue") {
      throw new Error(`${nameOf(node.object)} is undefined, so it has no ${nameOf(node.property)}`);
    }
    const isSlice = node.computed && node.property.type === "SliceExpression";
    if (isSlice) {
      const { start, stop, step } = node.property;
      const bounds = [start, stop, step].map((bound) => machine.evaluate(bound, environment));
      countSlice(object, bounds[2], budget);
      const [from, to, by] = bounds.map(given);
      const property = { ...node.property, start: from, stop: to, step: by };
      return original.member({ ...node, object: given(object), property }, environment);
    }
    const property = node.computed ? machine.evaluate(node.property, environment) : null;
    if (property?.type === "UndefinedValue") return UNDEFINED;
    const name = node.computed ? isString(property!) ? property.value : null : node.property.value;
    const method = isString(object)
      ? stringMethod(object.value, name, budget)
      : object.type === "ObjectValue" && !node.computed
      ? dictionaryMethod(object, name)
      : undefined;
    const value = method ?? original.member(
      { ...node, object: given(object), ...(property && { property: given(property) }) },
      environment,
    );
    const isMethod = isMapping(object) && value.type === "FunctionValue";
    if (!isMethod || object.value.get(name) === value) return value;
    return preceded(value, () => countFilter(name, object, NO_ARGUMENTS, budget));
  };

  const joined = (left: string, right: string) => {
    budget.write(left.length + right.length);
    return left + right;
  };

  machine.evaluateBinaryExpression = (node, environment) => {
    const operator = node.operator.value;
    if (operator === "and" || operator === "or") return original.binary(node, environment);
    if (operator === "+" && node.left.filter?.value === "safe") {
      throw new Error("what is added to a text by the filter safe is escaped: leave safe out");
    }
    const left = machine.evaluate(node.left, environment);
    const right = machine.evaluate(node.right, environment);
    if (operator === "/" || operator === "//") expectDivisor(left, right);
    const result = operator === "=="
      ? equal(left, right, budget)
      : operator === "!="
      ? !equal(left, right, budget)
      : operator === "~"
      ? joined(printed(left, budget), printed(right, budget))
      : operator === "+"
      ? concatenated(left, right, budget)
      : operator === "%"
      ? remainder(left, right)
      : operator === "in"
      ? contains(right, left, budget)
      : operator === "not in"
      ? negated(contains(right, left, budget))
      : undefined;
    if (result !== undefined) return wrap(result);
    const value = original.binary({ ...node, left: given(left), right: given(right) }, environment);
    if (value.type === "IntegerValue" && !Number.isSafeInteger(value.value)) {
      throw new Error(`${operator} gives a whole number beyond 2^53, which is not exact here`);
    }
    return value;
  };

  machine.evaluateTestExpression = (node, environment) => {
    const value = machine.evaluate(node.operand, environment);
    if (isString(value)) budget.read(value.value.length);
    const holds = valueTest(node.test.value, value);
    if (holds !== undefined) return wrap(holds !== node.negate);
    return original.test({ ...node, operand: given(value) }, environment);
  };

  machine.applyFilter = (input, filter, environment) => {
    const isCall = filter.type === "CallExpression";
    const name: string = isCall ? filter.callee.value : filter.value;
    const operand = asOperand(name, input, budget);
    const method = isString(operand) ? filterMethod(operand.value, name, budget) : undefined;
    if (method !== undefined) {
      const call = { type: "CallExpression", callee: given(method), args: filter.args ?? [] };
      return machine.evaluate(call, environment);
    }
    const value = isCall ? undefined : valueFilter(name, operand, budget);
    if (value !== undefined) return value;
    if (!isCall || !COUNTED_BY_ARGUMENTS.includes(name)) {
      countFilter(name, operand, NO_ARGUMENTS, budget);
    } else {
      const [positional, named] = machine.evaluateArguments(filter.args, environment);
      if (name === "join") expectJoinable({ positional, named });
      countFilter(name, operand, { positional, named }, budget);
      const args = [
        ...positional.map(given),
        ...[...named].map(([key, item]) => keyword(key, item)),
      ];
      return original.filter(operand, { ...filter, args }, environment);
    }
    const isUndefined = isCall && filter.args[1]?.value === "undefined";
    if (isUndefined && (name === "selectattr" || name === "rejectattr")) {
      const attribute = machine.evaluate(filter.args[0], environment).value;
      const lacks = (item: Value) => !(item.value as Map<string, Value>).has(attribute);
      return filtered(operand, (item) => lacks(item) === (name === "selectattr"));
    }
    return original.filter(operand, filter, environment);
  };
  return machine;
}

function negated(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}
