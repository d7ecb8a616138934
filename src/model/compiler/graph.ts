import { create, toBinary } from '@bufbuild/protobuf';
import {
  type AttributeProto,
  AttributeProtoSchema,
  AttributeProto_AttributeType as AttributeType,
  TensorProto_DataLocation as DataLocation,
  GraphProtoSchema,
  ModelProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  type TensorProto,
  TensorProtoSchema,
  type ValueInfoProto,
  ValueInfoProtoSchema,
} from './onnx_pb.ts';

/** Element types by ONNX's numbers (TensorProto.DataType). */
export const dataType = { float32: 1, uint8: 2, int32: 6, int64: 7, bool: 9, float16: 10 } as const;
export type DataType = keyof typeof dataType;

/** An attribute's value; `{ float }` marks a number that is a float although it is whole. */
export type Attribute = number | string | readonly number[] | { readonly float: number };

/** Where a large tensor's bytes lie: a file beside the graph. */
export interface External {
  readonly location: string;
  readonly offset: number;
  readonly length: number;
}

/** ONNX operator set 21; IR version 10 is the one that goes with it. */
const opset = 21n;
const irVersion = 10n;

/**
 * Builds one ONNX graph. Values are named by strings; {@link node} returns the name of what it computes, so that a
 * network reads top-down like code.
 */
export class Graph {
  readonly #nodes: NodeProto[] = [];
  readonly #initializers: TensorProto[] = [];
  readonly #inputs: ValueInfoProto[] = [];
  readonly #outputs: ValueInfoProto[] = [];
  readonly #constants = new Map<string, string>();
  readonly #externals = new Set<string>();
  #count = 0;

  /** Declares an input; a dimension given as a word is free, the same word the same length. */
  input(name: string, type: DataType, shape: readonly (number | string)[]): string {
    this.#inputs.push(valueInfo(name, type, shape));
    return name;
  }

  output(name: string, type: DataType, shape: readonly (number | string)[]): void {
    this.#outputs.push(valueInfo(name, type, shape));
  }

  /** Adds an operator of ONNX, or of `com.microsoft` where its name says so, and returns its first output. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute> = {},
    name?: string,
  ): string {
    return this.nodes(operator, inputs, attributes, [name ?? `v${this.#count++}`])[0] as string;
  }

  /** Adds an operator with several named outputs; an empty name leaves an optional output out. */
  nodes(
    operator: string,
    inputs: readonly string[],
    attributes: Record<string, Attribute>,
    outputs: readonly string[],
  ): readonly string[] {
    const [domain, type] = operator.includes('.')
      ? [operator.slice(0, operator.lastIndexOf('.')), operator.slice(operator.lastIndexOf('.') + 1)]
      : ['', operator];
    this.#nodes.push(
      create(NodeProtoSchema, {
        name: `${type}_${this.#nodes.length}`,
        opType: type,
        domain,
        input: [...inputs],
        output: [...outputs],
        attribute: Object.entries(attributes).map(([key, value]) => attribute(key, value)),
      }),
    );
    return outputs;
  }

  /** A small tensor inside the graph; equal ones are stored once. */
  constant(type: DataType, values: readonly number[], shape: readonly number[] = [values.length]): string {
    const key = `${type} ${shape.join('x')} ${values.join(',')}`;
    const known = this.#constants.get(key);
    if (known) return known;
    const name = `c${this.#constants.size}`;
    this.#constants.set(key, name);
    this.#initializers.push(
      create(TensorProtoSchema, {
        name,
        dims: shape.map(BigInt),
        dataType: dataType[type],
        rawData: bytesOf(type, values),
      }),
    );
    return name;
  }

  /** A tensor whose bytes lie in a file beside the graph; naming it again is the same tensor. */
  external(
    name: string,
    type: DataType,
    shape: readonly number[],
    { location, offset, length }: External,
  ): string {
    if (this.#externals.has(name)) return name;
    this.#externals.add(name);
    this.#initializers.push(
      create(TensorProtoSchema, {
        name,
        dims: shape.map(BigInt),
        dataType: dataType[type],
        dataLocation: DataLocation.EXTERNAL,
        externalData: [
          { key: 'location', value: location },
          { key: 'offset', value: String(offset) },
          { key: 'length', value: String(length) },
        ],
      }),
    );
    return name;
  }

  /** The graph as a serialised ModelProto. */
  encode(name: string): Uint8Array {
    return toBinary(
      ModelProtoSchema,
      create(ModelProtoSchema, {
        irVersion,
        producerName: 'omnivqa',
        opsetImport: [
          { domain: '', version: opset },
          { domain: 'com.microsoft', version: 1n },
        ],
        graph: create(GraphProtoSchema, {
          name,
          node: this.#nodes,
          initializer: this.#initializers,
          input: this.#inputs,
          output: this.#outputs,
        }),
      }),
    );
  }
}

function valueInfo(name: string, type: DataType, shape: readonly (number | string)[]): ValueInfoProto {
  return create(ValueInfoProtoSchema, {
    name,
    type: {
      value: {
        case: 'tensorType',
        value: {
          elemType: dataType[type],
          shape: {
            dim: shape.map((dim) => ({
              value:
                typeof dim === 'number'
                  ? { case: 'dimValue' as const, value: BigInt(dim) }
                  : { case: 'dimParam' as const, value: dim },
            })),
          },
        },
      },
    },
  });
}

function attribute(name: string, value: Attribute): AttributeProto {
  if (typeof value === 'string') {
    return create(AttributeProtoSchema, {
      name,
      type: AttributeType.STRING,
      s: new TextEncoder().encode(value),
    });
  }
  if (typeof value === 'number') {
    return Number.isInteger(value)
      ? create(AttributeProtoSchema, { name, type: AttributeType.INT, i: BigInt(value) })
      : create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value });
  }
  if ('float' in value)
    return create(AttributeProtoSchema, { name, type: AttributeType.FLOAT, f: value.float });
  return create(AttributeProtoSchema, { name, type: AttributeType.INTS, ints: value.map(BigInt) });
}

function bytesOf(type: DataType, values: readonly number[]): Uint8Array {
  const typed = {
    float32: () => Float32Array.from(values),
    uint8: () => Uint8Array.from(values),
    int32: () => Int32Array.from(values),
    int64: () => BigInt64Array.from(values.map(BigInt)),
    bool: () => Uint8Array.from(values),
    float16: () => {
      throw new TypeError('half-precision constants are written as external data');
    },
  }[type]();
  return new Uint8Array(typed.buffer);
}
