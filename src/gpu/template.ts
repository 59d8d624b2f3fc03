/**
 * The template step between a `.wgsl` file and the WGSL given to the driver: WGSL has no
 * preprocessor, and a kernel needs variants.
 *
 * A kernel file is plain WGSL plus directives, each alone on a line:
 *
 * ```wgsl
 * //! include fp8.wgsl          // paste another file, unless the same line has pasted it before
 * //! include rows.wgsl PARTS=2 // the same, with values for names: a word, true or false
 * //! if F16                    // keep lines if it is true; or !F16, TYPE == f16, TYPE != f16
 * //! elif TYPE == bf16         // else if this one holds; as many as wanted
 * //! else
 * //! end
 * //! unroll i 0 TILE           // repeat the lines with $i = 0 … TILE-1: drivers may not unroll
 * //! end
 * //! for T in f32 f16          // repeat the lines with $T = f32, then f16
 * //! end
 * //! for X,n in A,4 B,8        // with several names: $X = A and $n = 4, then $X = B and $n = 8
 * //! end
 * ```
 *
 * Blocks nest. Constants come from the caller: a number becomes `const NAME = value;`, strings and
 * booleans are seen by `//! if`. `$NAME` or `${NAME}` is replaced by the value, in the text and in
 * directives: in a loop `//! for X in A B`, `//! if ${X}_FP8` asks for A_FP8, then B_FP8. The
 * bounds of `unroll` are sums and products of integers and names.
 *
 * @module
 */

/** Compile-time constants of a kernel variant. */
export type KernelConstants = Readonly<Record<string, number | string | boolean>>;

/** A directive of a file: its word, its argument, and the whole line for messages. */
interface Directive {
  word: string;
  argument: string;
  line: string;
}

/** Part of a block: the directive that opens it, and the lines that belong to it. */
interface Branch {
  opening: Directive;
  lines: string[];
}

/** Directives that open a block which `end` closes. */
const OPENS_BLOCK = ["if", "unroll", "for"];

/**
 * Expands `source` with `constants`; `read` gives the text of included files.
 *
 * @throws {SyntaxError} for a mistake in a directive; the message shows its line.
 */
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
      const directive = parseDirective(lines[i]);
      if (!directive) {
        const text = substitute(lines[i], scope);
        if (/^\s*(enable|requires|diagnostic)\b/.test(text)) features.push(text.trim());
        else out.push(text);
      } else if (directive.word === "include") {
        const [file, ...values] = substitute(directive.argument, scope).split(/\s+/);
        const pasted = [file, ...values].join(" ");
        if (included.has(pasted)) continue;
        included.add(pasted);
        out.push(...expand(read(file).split("\n"), includeScope(values, scope, directive)));
      } else if (OPENS_BLOCK.includes(directive.word)) {
        const { branches, end } = readBlock(lines, i);
        out.push(...expandBlock(branches, scope));
        i = end;
      } else {
        throw new SyntaxError(
          `Unknown template directive "${directive.word}" in line: ${directive.line}`,
        );
      }
    }
    return out;
  }

  function expandBlock(branches: Branch[], scope: KernelConstants): string[] {
    const [{ opening, lines }] = branches;
    if (opening.word === "if") {
      const chosen = branches.find(({ opening }) =>
        opening.word === "else" || holds(opening, scope)
      );
      return chosen ? expand(chosen.lines, scope) : [];
    }
    const scopes = opening.word === "for"
      ? wordScopes(opening, scope)
      : rangeScopes(opening, scope);
    return scopes.flatMap((inner) => expand(lines, inner));
  }
}

function parseDirective(line: string): Directive | null {
  const match = /^\s*\/\/!\s*(\S*)\s*(.*?)\s*$/.exec(line);
  return match && { word: match[1], argument: match[2], line: line.trim() };
}

/** The scope of an included file: `values` are `NAME=word`. */
function includeScope(values: string[], scope: KernelConstants, { line }: Directive) {
  const given = values.map((value): [string, string | boolean] => {
    const [, name, word] = /^(\w+)=(\S+)$/.exec(value) ?? [];
    if (!name) throw new SyntaxError(`Expected NAME=word, not "${value}", in line: ${line}`);
    return [name, word === "true" || (word !== "false" && word)];
  });
  return { ...scope, ...Object.fromEntries(given) };
}

/** The branches of the block that the directive in line `start` opens, and the line of its end. */
function readBlock(lines: string[], start: number): { branches: Branch[]; end: number } {
  const opening = parseDirective(lines[start])!;
  const branches: Branch[] = [{ opening, lines: [] }];
  let depth = 1;
  for (let i = start + 1; i < lines.length; i++) {
    const directive = parseDirective(lines[i]);
    const word = directive?.word ?? "";
    if (OPENS_BLOCK.includes(word)) depth++;
    else if (word === "end" && --depth === 0) return { branches, end: i };
    if (depth === 1 && (word === "elif" || word === "else")) {
      if (opening.word !== "if") {
        throw new SyntaxError(`"${word}" belongs to no "if": ${opening.line} … ${directive!.line}`);
      }
      if (branches.at(-1)!.opening.word === "else") {
        throw new SyntaxError(`"${word}" after "else": ${opening.line} … ${directive!.line}`);
      }
      if ((word === "elif") !== (directive!.argument !== "")) {
        throw new SyntaxError(
          `"elif" takes a condition and "else" takes none: ${directive!.line}`,
        );
      }
      branches.push({ opening: directive!, lines: [] });
    } else {
      branches.at(-1)!.lines.push(lines[i]);
    }
  }
  throw new SyntaxError(`Template directive without an end: ${opening.line}`);
}

function lookup(name: string, scope: KernelConstants, line: string): number | string | boolean {
  const value = scope[name];
  if (value === undefined) {
    throw new SyntaxError(`Unknown template constant "${name}" in line: ${line}`);
  }
  return value;
}

/** Whether the condition of an `if` or `elif` does. */
function holds({ argument, line }: Directive, scope: KernelConstants): boolean {
  const condition = substitute(argument, scope);
  const match = /^(!?)(\w+)$|^(\w+)\s*(==|!=)\s*(\S+)$/.exec(condition);
  if (!match) {
    throw new SyntaxError(
      `Expected NAME, !NAME, NAME == word or NAME != word as the condition in line: ${line}`,
    );
  }
  const [, not, flag, name, operator, word] = match;
  return flag
    ? !!lookup(flag, scope, line) !== (not === "!")
    : (String(lookup(name, scope, line)) === word) === (operator === "==");
}

/** One scope for each number of an `unroll`. */
function rangeScopes({ argument, line }: Directive, scope: KernelConstants): KernelConstants[] {
  const match = /^(\w+)\s+(\S+)\s+(\S+)$/.exec(argument);
  if (!match) throw new SyntaxError(`Expected "unroll NAME FROM TO" in line: ${line}`);
  const [, name, from, to] = match;
  const first = evaluate(substitute(from, scope), scope, line);
  const last = evaluate(substitute(to, scope), scope, line);
  return Array.from({ length: Math.max(0, last - first) }, (_, k) => ({
    ...scope,
    [name]: first + k,
  }));
}

/** One scope for each word of a `for`. */
function wordScopes({ argument, line }: Directive, scope: KernelConstants): KernelConstants[] {
  const match = /^(\w+(?:,\w+)*)\s+in\s+(.+)$/.exec(argument);
  if (!match) throw new SyntaxError(`Expected "for NAME in WORD …" in line: ${line}`);
  const names = match[1].split(",");
  return substitute(match[2], scope).split(/\s+/).map((word) => {
    const parts = word.split(",");
    if (parts.length !== names.length) {
      throw new SyntaxError(
        `"${word}" has ${parts.length} parts for ${names.length} names in line: ${line}`,
      );
    }
    return { ...scope, ...Object.fromEntries(names.map((name, i) => [name, parts[i]])) };
  });
}

/** A sum of products of integers and names, without spaces: `2*TILE/4+1`. */
function evaluate(expression: string, scope: KernelConstants, line: string): number {
  return expression.split("+").map((term) =>
    term.split(/(?=[*/])/).reduce((value, factor) => {
      const name = factor.replace(/^[*/]/, "");
      const operand = /^\d+$/.test(name) ? Number(name) : Number(lookup(name, scope, line));
      return factor.startsWith("*")
        ? value * operand
        : factor.startsWith("/")
        ? Math.floor(value / operand)
        : operand;
    }, 0)
  ).reduce((a, b) => a + b, 0);
}

function substitute(text: string, scope: KernelConstants): string {
  return text.replace(/\$(\w+|\{\w+\})/g, (whole, name: string) => {
    const value = scope[name.replace(/[{}]/g, "")];
    return value === undefined ? whole : String(value);
  });
}
