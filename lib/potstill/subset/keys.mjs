// Can a computed key be the name of a blocked member? It cannot be if it is a number, or a text
// with a digit or a sign that no blocked name has ("closed": it stays so under +), or a harmless
// literal.
import { LOGICAL_ASSIGN, Names, text, words } from "./names.mjs";

const NUMERIC_METHODS = words(`indexOf lastIndexOf charCodeAt codePointAt findIndex findLastIndex
  search localeCompare push unshift toFixed getTime`);
export const CONVERTERS = words("Number parseInt parseFloat isNaN isFinite Boolean BigInt");
const OTHER_SIGN = /[^A-Za-z_$]/;
const CONSTANT = /^(Math|Number)\.[A-Z0-9_]+$/;
const INERT = words(`Literal TemplateLiteral ArrayExpression ObjectExpression BinaryExpression
  UnaryExpression UpdateExpression`);

export class Keys extends Names {
  constructor(tree, members) {
    super(tree);
    this.members = members;
    this.settle();
  }

  // The largest sets of names that are consistent: take all, and strike out until it holds.
  settle() {
    this.closedNames = new Set(this.names.keys());
    this.keyNames = new Set(this.names.keys());
    this.okLength = !this.badLength;
    this.okMethods = !this.badMethods;
    for (let changed = true; changed; ) {
      changed = false;
      for (const [name, { defs }] of this.names) {
        if (this.closedNames.has(name) && !this.holds(defs, (node) => this.closed(node))) {
          changed = this.closedNames.delete(name);
        }
        if (this.keyNames.has(name) && !this.holds(defs, (node) => this.isKey(node), true)) {
          changed = this.keyNames.delete(name);
        }
      }
      const open = this.writes.filter(([key]) => !this.closed(key));
      const given = [...this.lengths, ...open.map(([, value]) => value)];
      const okLength = this.okLength && given.every((value) => value && this.closed(value));
      const okMethods = this.okMethods && open.every(([, value]) => value && this.inert(value));
      changed ||= okLength !== this.okLength || okMethods !== this.okMethods;
      this.okLength = okLength;
      this.okMethods = okMethods;
    }
  }

  // A name without a definition is the host's.
  holds(defs, test, exact = false) {
    return defs.length > 0 && defs.every(({ how, value, fn, index, fallback }) => {
      if (how === "none") return true;
      if (how === "value") return test(value);
      if (how === "added") return !exact || this.closed(value);
      if (how === "each") return !!this.elements(value)?.every(test);
      if (how === "keys" || how === "entries") {
        return this.builtIn(value, how) && !value.arguments.length;
      }
      if (how !== "parameter" || (fallback && !test(fallback))) return false;
      return this.passed(fn, index)?.every(test) ?? this.isIndex(fn, index);
    });
  }

  elements(node) {
    const all = node.type === "ArrayExpression" && node.elements;
    return all && all.every((item) => item && item.type !== "SpreadElement") ? all : null;
  }

  // Can the text of a value, with whatever is added to it, never be a blocked member's name?
  closed(node) {
    switch (node.type) {
      case "Literal":
        if (node.regex) return false; // an object, which may get a toString of its own
        return typeof node.value !== "string" || OTHER_SIGN.test(node.value);
      case "TemplateLiteral":
        return node.quasis.some(({ value }) => OTHER_SIGN.test(value.cooked)) ||
          node.expressions.some((item) => this.closed(item));
      case "Identifier":
        return this.closedNames.has(node.name) || /^(undefined|NaN|Infinity)$/.test(node.name);
      case "UpdateExpression":
        return true;
      case "UnaryExpression":
        return node.operator !== "typeof";
      case "BinaryExpression":
        return node.operator !== "+" || this.closed(node.left) || this.closed(node.right);
      case "AssignmentExpression":
        if (node.operator === "=") return this.closed(node.right);
        if (node.operator === "+=") return this.closed(node.left) || this.closed(node.right);
        return !LOGICAL_ASSIGN.has(node.operator) ||
          (this.closed(node.left) && this.closed(node.right));
      case "MemberExpression":
        if (node.computed) return false;
        if (node.property.name === "length") return this.okLength;
        return CONSTANT.test(`${node.object.name}.${node.property.name}`);
      case "CallExpression":
        return this.closedCall(node);
      default:
        return this.parts(node)?.every((item) => this.closed(item)) ?? false;
    }
  }

  closedCall(node) {
    const { callee, arguments: all } = node;
    if (callee.type === "Identifier") {
      if (callee.name === "String") return all.length === 1 && this.closed(all[0]);
      return CONVERTERS.has(callee.name);
    }
    if (callee.type !== "MemberExpression" || callee.computed) return false;
    const name = callee.property.name;
    if (/^(Math|Number|Date)$/.test(callee.object.name)) return true;
    if (callee.object.name === "JSON") return name === "stringify";
    // With a base, toString can spell any name.
    if (name === "toString") return this.trusted(name) && !all.length && this.closed(callee.object);
    return NUMERIC_METHODS.has(name) && this.trusted(name);
  }

  // The expressions of which one is the value; null for any other kind of node.
  parts(node) {
    if (node.type === "ConditionalExpression") return [node.consequent, node.alternate];
    if (node.type === "LogicalExpression") return [node.left, node.right];
    if (node.type === "SequenceExpression") return [node.expressions.at(-1)];
    return node.type === "ChainExpression" ? [node.expression] : null;
  }

  // Is the text of a value, as it stands, never a blocked member's name?
  isKey(node) {
    if (this.closed(node)) return true;
    const known = text(node);
    if (known !== undefined) return !this.members.has(known);
    if (node.type === "Identifier") return this.keyNames.has(node.name);
    if (node.type === "UnaryExpression") return true; // typeof
    if (node.type === "AssignmentExpression") {
      return node.operator === "=" && this.isKey(node.right);
    }
    // One character, and no small letter: no blocked name is like that.
    if (this.builtIn(node, "charAt", "toUpperCase")) return true;
    return this.parts(node)?.every((item) => this.isKey(item)) ?? false;
  }

  // What a sum of literals, templates and constants spells; undefined for anything else.
  spelled(node) {
    const known = text(node);
    if (known !== undefined) return known;
    if (node.type === "Identifier") {
      const found = this.names.get(node.name);
      if ("spelled" in found) return found.spelled;
      found.spelled = undefined; // for a name that is defined by itself
      const [first, ...more] = found.defs;
      if (first?.how === "value" && !more.length) found.spelled = this.spelled(first.value);
      return found.spelled;
    }
    let all = [];
    if (node.type === "BinaryExpression" && node.operator === "+") all = [node.left, node.right];
    if (node.type === "TemplateLiteral") {
      all = node.quasis.flatMap((part, i) => [part.value.cooked, node.expressions[i] ?? ""]);
    }
    const parts = all.map((item) => (typeof item === "string" ? item : this.spelled(item)));
    const whole = all.length && !parts.includes(undefined) ? parts.join("") : undefined;
    return whole?.length < 1000 ? whole : undefined; // else sums of sums grow without end
  }

  // Is a value surely no function?
  inert(node) {
    return INERT.has(node.type) || this.closed(node) ||
      (this.parts(node)?.every((item) => this.inert(item)) ?? false);
  }
}
