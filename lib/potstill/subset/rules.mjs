// Structural rules that a policy may name. A rule is made for each program from {code, tree,
// policy} and is then asked at each node: (place, say), where place is {node, key, parent, depth}
// and say(kind, detail) refuses.
export const RULES = {};
