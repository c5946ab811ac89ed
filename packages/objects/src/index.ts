export { connectS3, type S3Objects, type UploadBody } from './s3-client.js';
export { readS3Settings, type S3Settings, s3Address } from './settings.js';
export { removeUpload, uploadFolder } from './upload-folder.js';
