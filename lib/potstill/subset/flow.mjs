// Where does the value of `o[k]` go when k may be any string, "constructor" included? It does no
// harm in arithmetic, comparison, tests and iteration, as the object of a named member that is
// read, in a variable that is only used so, and as the result of a function that the host calls.
import { CONVERTERS, Keys } from "./keys.mjs";
import { FUNCTIONS, LOGICAL_ASSIGN, UP, isTarget, memberName, words } from "./names.mjs";

// Methods that only test what their callback returns.
const TESTED = words("filter some every find findIndex findLast findLastIndex sort forEach");
// Methods that take an argument as a primitive or only compare it.
const PLAIN_ARGUMENT = words(`includes indexOf lastIndexOf slice substring charAt repeat padStart
  padEnd startsWith endsWith at join toFixed`);
// Called on a built-in function or class these run it or give it back.
const DANGEROUS_CALLS = words("call apply bind valueOf create assign");
// Called on a built-in prototype these change it or give it back.
const MUTATORS = words("push pop shift unshift splice sort reverse fill copyWithin");
const PURE = words(`Array.isArray Object.keys Object.values Object.entries JSON.stringify
  Number.isInteger Number.isNaN Number.isFinite Number.parseInt Number.parseFloat`);

export class Flow extends Keys {
  // May this read of an unknown member stand where it stands? All the places that its value gets to
  // are asked; a place that is being asked already counts as good, as each step is looked at once.
  allows(member) {
    if (this.isKey(member.property)) return true;
    if (this.members.has(this.spelled(member.property))) return false;
    const { object } = member;
    this.asked = new Set();
    // Only a literal's prototype lacks the methods that change an array.
    this.plain = object.type === "Identifier" && this.isObject(object.name);
    return this.flows(member);
  }

  isObject(name) {
    const [first, ...more] = this.names.get(name).defs;
    return !more.length && first?.how === "value" && first.value.type === "ObjectExpression";
  }

  flows(node) {
    const up = node[UP];
    switch (up.type) {
      case "BinaryExpression":
      case "UnaryExpression":
      case "UpdateExpression":
      case "TemplateLiteral":
      case "IfStatement":
      case "WhileStatement":
      case "DoWhileStatement":
      case "ForStatement":
      case "SwitchStatement":
      case "SwitchCase":
      case "SpreadElement": // takes what iteration or the own keys give
        return true;
      case "ExpressionStatement": // a read for nothing has no place in an ordinary program
        return node.type === "AssignmentExpression";
      case "ForInStatement":
      case "ForOfStatement":
        return up.right === node;
      case "ChainExpression":
        return this.flows(up);
      case "ConditionalExpression":
        return up.test === node || this.flows(up);
      case "LogicalExpression":
        return (up.left === node && up.operator === "&&") || this.flows(up);
      case "SequenceExpression":
        return up.expressions.at(-1) !== node || this.flows(up);
      case "AssignmentExpression":
        return this.flowsAssigned(node, up);
      case "VariableDeclarator":
        return up.id.type !== "Identifier" || this.flowsName(up.id.name);
      case "MemberExpression":
        return up.object !== node || this.flowsObject(up);
      case "CallExpression":
        return up.callee !== node && this.flowsArgument(node, up);
      case "ReturnStatement":
        return this.flowsResult(node, false);
      case "ArrowFunctionExpression":
        return up.body === node && this.flowsResult(node, false);
      default:
        return this.isList(up) && this.keeps(up.type === "Property" ? up[UP] : up);
    }
  }

  isList({ type, [UP]: up }) {
    return type === "ArrayExpression" || (type === "Property" && up.type === "ObjectExpression");
  }

  flowsAssigned(node, up) {
    const { left, operator } = up;
    const logical = LOGICAL_ASSIGN.has(operator);
    if (operator !== "=" && !logical) return true;
    if (left === node) return !logical || this.flows(up);
    if (left.type === "Identifier") return this.flowsName(left.name) && this.flows(up);
    if (left.type !== "MemberExpression") return this.flows(up);
    // Kept in a list or an object that is itself followed.
    return left.object.type === "Identifier" && this.keepsName(left.object.name) && this.flows(up);
  }

  flowsName(name) {
    const { refs } = this.names.get(name);
    if (this.asked.has(name)) return true;
    this.asked.add(name);
    return refs.every((ref) => this.flows(ref));
  }

  // The value is the object of a member.
  flowsObject(member) {
    if (isTarget(member)) return false;
    const over = member[UP].type === "ChainExpression" ? member[UP] : member;
    const name = memberName(member);
    if (over[UP].type === "CallExpression" && over[UP].callee === over) {
      if (name === undefined) return this.closed(member.property);
      return !DANGEROUS_CALLS.has(name) && (this.plain || !MUTATORS.has(name));
    }
    // A built-in has members of these names that do no harm as values; else it is unknown again.
    return name !== undefined || this.closed(member.property) || this.flows(member);
  }

  flowsArgument(node, { callee, arguments: all }) {
    const place = all.indexOf(node);
    if (callee.type === "Identifier") {
      if (CONVERTERS.has(callee.name) || callee.name === "String") return true;
      return this.flowsParameter(callee.name, all, place);
    }
    if (callee.type !== "MemberExpression" || callee.computed) return false;
    const { object, property: { name } } = callee;
    if (PURE.has(`${object.name}.${name}`) || object.name === "Math") return true;
    if (name === "push" && object.type === "Identifier") return this.keepsName(object.name);
    return PLAIN_ARGUMENT.has(name) && this.trusted(name);
  }

  flowsParameter(name, all, place) {
    if (all.slice(0, place).some((item) => item.type === "SpreadElement")) return false;
    const { defs } = this.names.get(name);
    const fn = defs.length === 1 && /^(value|function)$/.test(defs[0].how) && defs[0].value;
    if (!fn || !FUNCTIONS.has(fn.type) || this.calls(fn) === null) return false;
    if (fn.params.slice(0, place + 1).some((item) => item.type === "RestElement")) return false;
    let param = fn.params[place];
    if (param?.type === "AssignmentPattern") param = param.left;
    return !param || param.type !== "Identifier" || this.flowsName(param.name);
  }

  // The value is what a function returns, by itself or in a list or object.
  flowsResult(node, kept) {
    let fn = node[UP];
    while (!FUNCTIONS.has(fn.type)) {
      fn = fn[UP];
      if (!fn) return false;
    }
    const key = kept ? fn.body : fn;
    if (this.asked.has(key)) return true;
    this.asked.add(key);
    const next = (call) => (kept ? this.keeps(call) : this.flows(call));
    const call = fn[UP];
    if (call.type === "CallExpression") {
      if (call.callee === fn) return next(call);
      if (call.arguments[0] !== fn || call.callee.type !== "MemberExpression") return false;
      const name = memberName(call.callee);
      if (!this.trusted(name)) return false;
      return TESTED.has(name) || (name === "map" && !kept && this.keeps(call));
    }
    // A function that the program never names has its results with the host only.
    return this.calls(fn)?.every(next) ?? false;
  }

  // May a list or an object with such values stand where it stands?
  keeps(node) {
    const up = node[UP];
    switch (up.type) {
      case "ExpressionStatement":
        return true;
      case "ChainExpression":
        return this.keeps(up);
      case "VariableDeclarator":
        return up.id.type === "Identifier" && this.keepsName(up.id.name);
      case "AssignmentExpression":
        return up.operator === "=" && up.right === node && up.left.type === "Identifier" &&
          this.keepsName(up.left.name) && this.keeps(up);
      case "ReturnStatement":
        return this.flowsResult(node, true);
      case "ArrowFunctionExpression":
        return up.body === node && this.flowsResult(node, true);
      case "SpreadElement":
        return up[UP].type === "CallExpression" && up[UP].callee.object?.name === "Math";
      case "MemberExpression":
        return up.object === node && this.keepsMember(up);
      default:
        return false;
    }
  }

  keepsName(name) {
    const key = `[${name}]`;
    const { refs, defs } = this.names.get(name);
    if (!defs.length || !defs.every((item) => item.how === "value" && this.isNew(item.value))) {
      return false; // the same list may have another name
    }
    if (this.asked.has(key)) return true;
    this.asked.add(key);
    return refs.every((ref) => this.keeps(ref));
  }

  isNew(node) {
    if (node.type === "ArrayExpression" || node.type === "ObjectExpression") return true;
    return this.builtIn(node, "map", "fill", "from") || node.callee?.name === "Array";
  }

  keepsMember(member) {
    const call = member[UP].type === "CallExpression" && member[UP].callee === member;
    const name = memberName(member);
    if (call) return /^(push|join|includes|indexOf)$/.test(name) && this.trusted(name);
    return name === "length" || this.flows(member);
  }
}
