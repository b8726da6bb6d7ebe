// What expressions of literals come to: numbers, lengths of what they make, and truth.
import { keyName, memberName, text } from "./names.mjs";

export const MAX_BITS = 4096;

// The number or bigint of an expression of literals: "large" for a power that is too large for
// its bits, null for all else.
export function constant(node) {
  if (node.type === "Literal") return /number|bigint/.test(typeof node.value) ? node.value : null;
  if (node.type === "CallExpression" && /^(BigInt|Number)$/.test(node.callee.name)) {
    return node.arguments.length === 1 ? constant(node.arguments[0]) : null;
  }
  if (node.type === "UnaryExpression") {
    const value = constant(node.argument);
    return node.operator === "-" && value !== null && value !== "large" ? -value : value;
  }
  if (node.type !== "BinaryExpression") return null;
  const left = constant(node.left);
  const right = constant(node.right);
  if (left === "large" || right === "large") return "large";
  return left === null || right === null ? null : power(node.operator, left, right);
}

function power(operator, left, right) {
  const [a, b] = [Number(left), Number(right)];
  if (operator === "**") {
    if (Math.log2(Math.abs(a)) * b > MAX_BITS) return "large";
    return a ** b;
  }
  if (operator === "<<") {
    const both = typeof left === "bigint" && typeof right === "bigint";
    if (both && a !== 0 && b > MAX_BITS) return "large";
    return both ? a * 2 ** b : a << b;
  }
  return { "*": a * b, "+": a + b, "-": a - b, "/": a / b }[operator] ?? null;
}

// The length of the text or array that a call makes, where literals tell it; else 0.
export function length(node) {
  const { callee, arguments: all } = node;
  const value = (item) => {
    const found = item ? constant(item) : null;
    return found === "large" ? Infinity : Number(found ?? 0);
  };
  if (callee.type === "Identifier") return callee.name === "Array" ? value(all[0]) : 0;
  if (callee.type !== "MemberExpression") return 0;
  const name = memberName(callee);
  if (/^pad(Start|End)$/.test(name)) return value(all[0]);
  if (name === "fill") return Math.max(value(all[1]), value(all[2]));
  if (name === "repeat") {
    const inner = callee.object.type === "CallExpression" ? length(callee.object) : 0;
    return value(all[0]) * Math.max(inner, text(callee.object)?.length ?? 1, 1);
  }
  if (name !== "from" || all[0]?.type !== "ObjectExpression") return 0;
  const size = all[0].properties.find((item) => item.key && keyName(item) === "length");
  return size ? value(size.value) : 0;
}

export function truth(node) {
  if (node.type === "Literal") return Boolean(node.value ?? node.regex ?? node.bigint);
  if (node.type === "TemplateLiteral") return text(node) ? true : null;
  if (/^(Array|Object|Function|ArrowFunction)Expression$/.test(node.type)) return true;
  if (node.type === "SequenceExpression") return truth(node.expressions.at(-1));
  if (node.type === "UnaryExpression" && node.operator === "!") {
    const value = truth(node.argument);
    return value === null ? null : !value;
  }
  if (node.type === "LogicalExpression") {
    const sides = [truth(node.left), truth(node.right)];
    if (node.operator === "||" && sides.includes(true)) return true;
    return sides[0] === sides[1] ? sides[0] : null;
  }
  if (node.type === "BinaryExpression") return compared(node);
  const value = constant(node);
  return value === null ? null : Boolean(value);
}

function compared({ operator, left, right }) {
  const [a, b] = [constant(left), constant(right)];
  if (typeof a !== "number" || typeof b !== "number") return null;
  const equal = /^[=!]==?$/.test(operator) ? (a === b) === (operator[0] === "=") : null;
  return equal ?? { "<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b }[operator] ?? null;
}
