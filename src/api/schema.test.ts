/** Schemas: what our builders build is what TypeBox's build. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import TypeBox from 'typebox';
import { Compile } from 'typebox/compile';
import Ours from './schema.ts';

const builders = (Type: typeof Ours) => {
  const told = { description: 'What it is.' };
  return [
    Type.Array(Type.String({ pattern: '^a' }), { ...told, maxItems: 3 }),
    Type.Boolean(told),
    Type.Enum(['a', 'b'], told),
    Type.Integer({ minimum: 1 }),
    Type.Literal('x', told),
    Type.Literal(1),
    Type.Literal(true),
    Type.Null(),
    Type.Number(told),
    Type.Object({}, { $id: 'Empty' }),
    Type.Object({ may: Type.Optional(Type.String(told)) }),
    Type.Object({ must: Type.Integer(), may: Type.Optional(Type.Null()) }, { additionalProperties: false }),
    Type.Record(Type.String(), Type.Unknown(), told),
    Type.Record(Type.String({ pattern: '^user\\.' }), Type.String()),
    Type.Union([Type.String(), Type.Null()], told),
    Type.Unknown(told),
  ];
};

test('schemas are, as JSON, those of TypeBox', () => {
  const theirs = builders(TypeBox);
  for (const [index, schema] of builders(Ours).entries()) {
    assert.equal(JSON.stringify(schema), JSON.stringify(theirs[index]));
  }
});

test('schemas compile into checks, and optional members may be absent', () => {
  const schema = Ours.Object(
    { must: Ours.Integer({ minimum: 1 }), may: Ours.Optional(Ours.Union([Ours.String(), Ours.Null()])) },
    { additionalProperties: false },
  );
  const check = Compile(schema);
  for (const right of [{ must: 1 }, { must: 2, may: null }, { must: 3, may: 'x' }]) assert.ok(check.Check(right));
  for (const wrong of [{}, { must: 0 }, { must: 1, may: 1 }, { must: 1, more: 1 }, null])
    assert.ok(!check.Check(wrong));
});
