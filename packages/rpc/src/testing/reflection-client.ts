import { fromBinary } from '@bufbuild/protobuf';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { credentials, Metadata, makeGenericClientConstructor } from '@grpc/grpc-js';

// Field numbers of grpc.reflection.v1.
const FILE_CONTAINING_SYMBOL = 4;
const LIST_SERVICES = 7;
const FILE_DESCRIPTOR_RESPONSE = 4;
const LIST_SERVICES_RESPONSE = 6;

/** Asks grpc.reflection.v1 what a server serves, as grpcurl does; encoded by hand so that nothing is shared with the server. */
export class ServerReflectionClient {
  readonly #client;

  constructor(address: string) {
    const Client = makeGenericClientConstructor(
      {
        info: {
          path: '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo',
          requestStream: true,
          responseStream: true,
          requestSerialize: (bytes: Buffer) => bytes,
          requestDeserialize: (bytes: Buffer) => bytes,
          responseSerialize: (bytes: Buffer) => bytes,
          responseDeserialize: (bytes: Buffer) => bytes,
        },
      },
      'ServerReflection',
    );
    this.#client = new Client(address, credentials.createInsecure());
  }

  async services(): Promise<string[]> {
    const list = await this.#ask(LIST_SERVICES, '*', LIST_SERVICES_RESPONSE);
    return list.map((service) => Buffer.from(repeatedField(service, 1)[0]).toString('utf8'));
  }

  /** Names of the files a service needs, and of its methods. */
  async describe(service: string): Promise<{ files: string[]; methods: string[] }> {
    const files = (await this.#ask(FILE_CONTAINING_SYMBOL, service, FILE_DESCRIPTOR_RESPONSE)).map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const methods = files
      .flatMap((file) => file.service.map((s) => ({ name: `${file.package}.${s.name}`, methods: s.method })))
      .filter(({ name }) => name === service)
      .flatMap((found) => found.methods.map((method) => method.name));
    return { files: files.map((file) => file.name), methods };
  }

  close(): void {
    this.#client.close();
  }

  async #ask(field: number, value: string, answerField: number): Promise<Uint8Array[]> {
    const request = Buffer.from(new BinaryWriter().tag(field, 2).string(value).finish());
    const call = this.#client.info(new Metadata(), { deadline: Date.now() + 5000 });
    call.write(request);
    call.end();
    for await (const response of call) return repeatedField(repeatedField(response, answerField)[0], 1);
    throw new Error('no answer');
  }
}

/** The values of a length-delimited field. */
function repeatedField(message: Uint8Array, field: number): Uint8Array[] {
  const reader = new BinaryReader(message);
  const values: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === field) values.push(reader.bytes());
    else reader.skip(wireType);
  }
  if (values.length === 0) throw new Error(`field ${field} is absent`);
  return values;
}
