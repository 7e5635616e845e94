// What a stranger writes against the generated types: it has to compile.
import type { components, operations, paths } from "./api";

type Place = components["schemas"]["Place"];
type Joined = operations["join"]["responses"][201]["content"]["application/json"];

export const ahead = (place: Place): number => place.ahead;
export const joined = (answer: Joined): string | null | undefined => answer.pass;
export const wish: operations["hold"]["requestBody"]["content"]["application/json"] = {
  best_available: { quantity: 2, category: "stalls" },
};
export type Line = paths["/api/v1/events/{event}/line"]["post"];
