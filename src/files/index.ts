/** files: the file system itself. */
export { type CompressionRule, CompressionRules } from './compression-rules.ts';
export { type Caller, FILES_OPTIONS_DEFAULT, type FilesOptions } from './context.ts';
export { Files, type OpenFilesOptions, OWNER, openFiles } from './files.ts';
export { type Glob, globOf } from './glob.ts';
export { fileService } from './service.ts';
