/**
 * The parameters of public functions, methods and constructors that are options, as `deno doc` lists them.
 *
 * @module
 */

/** A type in the documentation, as far as it is read here. */
interface DocType {
  kind: string;
  value?: unknown;
}

interface Param {
  kind: string;
  name?: string;
  /** Of one with a default: the parameter itself. */
  left?: Param;
  tsType?: DocType;
}

/** A function, or an interface or a class, as far as it is read here. */
interface Definition {
  params?: Param[];
  constructors?: (Definition & { accessibility?: string })[];
  /** Of a class with `functionDef`, of an interface without. */
  methods?: { name: string; functionDef: Definition; jsDoc?: JsDoc }[];
  indexSignatures?: unknown[];
}

interface JsDoc {
  tags?: { kind: string }[];
}

interface DocSymbol {
  name: string;
  declarations: { kind: string; def: Definition }[];
}

/** What has fields and is no options: what describes a model, which is more than any function reads of it, or a format. */
const NO_OPTIONS = ["ModelConfig", "Fp8Format"];

/**
 * The names of parameters that are an object of options: of a type that is written in place, or of an exported interface
 * that has only properties, whole or in part (`Omit<…>`).
 *
 * @param modules Paths from the repository's root.
 * @returns `evaluate options`, `Model.load options`; a constructor has the name of its class.
 */
export async function optionParameters(...modules: string[]): Promise<string[]> {
  const root = new URL("../..", import.meta.url);
  const args = ["doc", "--json", ...modules];
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args, cwd: root })
    .output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  const { nodes } = JSON.parse(new TextDecoder().decode(stdout)) as {
    nodes: Record<string, { symbols: DocSymbol[] }>;
  };
  const symbols = Object.values(nodes).flatMap(({ symbols }) => symbols);
  const named = symbols.flatMap(({ name, declarations }) =>
    declarations.map(({ kind, def }) => ({ name, kind, def }))
  );
  const plain = named.filter(({ kind, def, name }) =>
    kind === "interface" && !def.methods?.length && !def.indexSignatures?.length &&
    !NO_OPTIONS.includes(name)
  ).map(({ name }) => name);
  return named.flatMap(({ name, kind, def }) => {
    if (kind === "function") return ofFunction(name, def, plain);
    if (kind !== "class") return [];
    const constructors = def.constructors?.filter(({ accessibility }) =>
      accessibility !== "private"
    );
    const methods = def.methods?.filter(({ jsDoc }) =>
      !jsDoc?.tags?.some(({ kind }) => kind === "internal")
    );
    return [
      ...(constructors ?? []).flatMap((it) => ofFunction(name, it, plain)),
      ...(methods ?? []).flatMap((it) => ofFunction(`${name}.${it.name}`, it.functionDef, plain)),
    ];
  });
}

function ofFunction(name: string, { params = [] }: Definition, plain: readonly string[]): string[] {
  const isOptions = ({ kind, tsType }: Param) =>
    kind === "object" || (tsType !== undefined && mayBeOptions(tsType, plain));
  return params.map((param) => param.left ?? param).filter(isOptions)
    .map((param) => `${name} ${param.name ?? "options"}`);
}

/** Whether a type is, or takes in, one of options. What a function is given or gives is none of its own options. */
function mayBeOptions(type: DocType, plain: readonly string[]): boolean {
  const { kind, value } = type;
  if (kind === "typeLiteral") return true;
  if (kind === "union" || kind === "intersection") {
    return (value as DocType[]).some((part) => mayBeOptions(part, plain));
  }
  if (kind === "parenthesized") return mayBeOptions(value as DocType, plain);
  if (kind !== "typeRef") return false;
  const { typeName, typeParams = [] } = value as { typeName: string; typeParams?: DocType[] };
  return plain.includes(typeName) || typeParams.some((part) => mayBeOptions(part, plain));
}
