/**
 * The template step between a `.wgsl` file and the WGSL given to the driver.
 *
 * A kernel file is plain WGSL plus four directives, each alone on a line:
 *
 * ```wgsl
 * //! include fp8.wgsl          // paste another file once
 * //! if F16                    // keep lines if a constant is true / equal (`if TYPE == f16`, `if !F16`)
 * //! else
 * //! end
 * //! unroll i 0 TILE           // repeat the lines with $i = 0 … TILE-1 (drivers do not unroll reliably)
 * //! end
 * ```
 *
 * Constants come from the caller: a number becomes `const NAME = value;`, strings and booleans are seen by
 * `//! if`. `$NAME` or `${NAME}` is replaced in the text by the value, also inside `unroll` bounds, which
 * are sums and products of integers and names.
 *
 * @module
 */

/** Compile-time constants of a kernel variant. */
export type KernelConstants = Readonly<Record<string, number | string | boolean>>;

/** Expands `source` with `constants`; `read` gives the text of included files. */
export function expandTemplate(
  source: string,
  constants: KernelConstants,
  read: (file: string) => string,
): string {
  const included = new Set<string>();
  const features: string[] = [];
  const body = expand(source.split("\n"), constants);
  const header = Object.entries(constants).flatMap(([name, value]) =>
    typeof value === "number" ? [`const ${name} = ${value};`] : []
  );
  // `enable` must stand before every declaration.
  return [...new Set(features), ...header, ...body].join("\n") + "\n";

  function expand(lines: string[], scope: KernelConstants): string[] {
    const out: string[] = [];
    for (let i = 0; i < lines.length; i++) {
      const line = lines[i];
      const directive = /^\s*\/\/! (\w+)\s*(.*?)\s*$/.exec(line);
      if (!directive) {
        const text = substitute(line, scope);
        if (/^\s*(enable|requires|diagnostic)\b/.test(text)) features.push(text.trim());
        else out.push(text);
        continue;
      }
      const [, word, argument] = directive;
      if (word === "include") {
        if (included.has(argument)) continue;
        included.add(argument);
        out.push(...expand(read(argument).split("\n"), scope));
      } else if (word === "if") {
        const { thenLines, elseLines, end } = block(lines, i);
        out.push(...expand(holds(argument, scope) ? thenLines : elseLines, scope));
        i = end;
      } else if (word === "unroll") {
        const { thenLines, end } = block(lines, i);
        const [name, from, to] = argument.split(/\s+/);
        const last = evaluate(to, scope);
        for (let k = evaluate(from, scope); k < last; k++) {
          out.push(...expand(thenLines, { ...scope, [name]: k }));
        }
        i = end;
      } else {
        throw new SyntaxError(`Unknown template directive "${word}" in line: ${line.trim()}`);
      }
    }
    return out;
  }
}

/** Finds the `else` and `end` that belong to the directive in line `start`. */
function block(lines: string[], start: number) {
  let depth = 0;
  let middle = -1;
  for (let i = start; i < lines.length; i++) {
    const word = /^\s*\/\/! (\w+)/.exec(lines[i])?.[1];
    if (word === "if" || word === "unroll") depth++;
    else if (word === "else" && depth === 1) middle = i;
    else if (word === "end" && --depth === 0) {
      const cut = middle < 0 ? i : middle;
      return {
        thenLines: lines.slice(start + 1, cut),
        elseLines: middle < 0 ? [] : lines.slice(middle + 1, i),
        end: i,
      };
    }
  }
  throw new SyntaxError(`Template directive without an end: ${lines[start].trim()}`);
}

function lookup(name: string, scope: KernelConstants): number | string | boolean {
  const value = scope[name];
  if (value === undefined) throw new SyntaxError(`Unknown template constant "${name}"`);
  return value;
}

function holds(condition: string, scope: KernelConstants): boolean {
  const equality = /^(\w+)\s*(==|!=)\s*(\S+)$/.exec(condition);
  if (equality) {
    return (String(lookup(equality[1], scope)) === equality[3]) === (equality[2] === "==");
  }
  return condition.startsWith("!")
    ? !lookup(condition.slice(1).trim(), scope)
    : !!lookup(condition, scope);
}

/** A sum of products of integers and names, without spaces: `2*TILE/4+1`. */
function evaluate(expression: string, scope: KernelConstants): number {
  return expression.split("+").map((term) =>
    term.split(/(?=[*/])/).reduce((value, factor) => {
      const name = factor.replace(/^[*/]/, "").replace(/^\$/, "");
      const operand = /^\d+$/.test(name) ? Number(name) : Number(lookup(name, scope));
      return factor.startsWith("*")
        ? value * operand
        : factor.startsWith("/")
        ? Math.floor(value / operand)
        : operand;
    }, 0)
  ).reduce((a, b) => a + b, 0);
}

function substitute(line: string, scope: KernelConstants): string {
  return line.replace(/\$(\w+|\{\w+\})/g, (whole, name: string) => {
    const value = scope[name.replace(/[{}]/g, "")];
    return value === undefined ? whole : String(value);
  });
}
