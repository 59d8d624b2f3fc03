/**
 * A scene is what one text is about: three characters and the things around them, as the slots of
 * a template.
 *
 * @module
 */
import type { Random } from "./random.ts";
import { type Slots, withArticle } from "./template.ts";
import {
  COLOURS,
  FOODS,
  HE_NAMES,
  type Kind,
  KINDS,
  PLACES,
  SHE_NAMES,
  SPOTS,
  TOYS,
} from "./world.ts";

/** Someone in a text. */
export interface Character {
  name: string;
  kind: Kind;
  he: string;
  him: string;
  his: string;
}

/** Draws `count` characters of different names and kinds. */
export function drawCast(random: Random, count: number): Character[] {
  const kinds = random.sample(KINDS, count);
  return random.sample([...SHE_NAMES, ...HE_NAMES], count).map((name, i) =>
    (SHE_NAMES as readonly string[]).includes(name)
      ? { name, kind: kinds[i], he: "she", him: "her", his: "her" }
      : { name, kind: kinds[i], he: "he", him: "him", his: "his" }
  );
}

/** The slots of a character that follow from its kind. */
export function kindSlots(role: string, kind: Kind): Record<string, string> {
  return {
    [`${role}.kind`]: kind.noun,
    [`${role}.home`]: kind.home,
    [`${role}.likes`]: kind.food,
  };
}

/**
 * Draws a scene.
 *
 * Characters are `hero`, `friend` and `other`. `{hero}` introduces the character when it is first
 * spoken of ("Mia the fox", or "a fox named Mia" by `{hero.named}`) and names it from then on
 * ("Mia"); `{hero.name}` never introduces.
 *
 * @param extra Slots of one text's own; they come before those of the scene.
 */
export function drawScene(random: Random, extra: Record<string, string> = {}): Slots {
  const slots = new Map<string, string>();
  const roles = ["hero", "friend", "other"];
  drawCast(random, roles.length).forEach((character, i) => {
    const { kind, ...fields } = character;
    for (const [field, text] of Object.entries(fields)) slots.set(`${roles[i]}.${field}`, text);
    for (const [key, text] of Object.entries(kindSlots(roles[i], kind))) slots.set(key, text);
  });
  for (const [role, list] of [["colour", COLOURS], ["toy", TOYS], ["spot", SPOTS]] as const) {
    random.sample<string>(list, 3).forEach((text, i) => slots.set(role + (i || ""), text));
  }
  random.sample(PLACES, 3).forEach((place, i) => {
    slots.set(`place${i || ""}`, place.noun).set(`place${i || ""}.at`, place.at);
  });
  random.sample(FOODS, 3).forEach((food, i) => {
    const { one, many, colour } = food;
    for (const [field, text] of Object.entries({ one, many, colour })) {
      slots.set(`food${i || ""}.${field}`, text);
    }
  });
  for (const [key, text] of Object.entries(extra)) slots.set(key, text);

  const introduced = new Set<string>();
  return (key) => {
    const [role, field = ""] = key.split(".");
    if (!roles.includes(role) || !["", "named"].includes(field)) return slots.get(key);
    const name = slots.get(`${role}.name`)!;
    if (introduced.has(role)) return name;
    introduced.add(role);
    const kind = slots.get(`${role}.kind`)!;
    return field === "named" ? `${withArticle(kind)} named ${name}` : `${name} the ${kind}`;
  };
}
