import type { Server } from '@grpc/grpc-js';
import { ReflectionService } from '@grpc/reflection';
import { fileDescriptors } from './generated/descriptors.js';

/** What the reflection service reads of a package definition: the descriptors of its files. */
type PackageDefinition = ConstructorParameters<typeof ReflectionService>[0];

/** Adds grpc.reflection.v1 and v1alpha for the named services, from the descriptors made with the generated code. */
export function addReflection(server: Server, services: readonly string[]): void {
  const fileDescriptorProtos = fileDescriptors.map((file) => Buffer.from(file, 'base64'));
  const definition = { errata: { format: 'Protocol Buffer 3 DescriptorProto', type: {}, fileDescriptorProtos } };
  new ReflectionService(definition as PackageDefinition, { services: [...services] }).addToServer(server);
}
