/** server: the composition root. Configuration in, an open store, a reached store or a running server out. */
export { type Config, type ConfigQuestion, configOf, loadConfig } from './config.ts';
export type { FormatRecord } from './format-record.ts';
export { type LogSinkOptions, openLog } from './log-sink.ts';
export { type InitQuestion, initStore, OpenStore, type OpenStoreQuestion, openStore } from './open-store.ts';
export { SERVER_OPTIONS, type ServerOptions } from './options-table.ts';
export { type ReachedStore, type ReachQuestion, reachStore } from './reach-store.ts';
export { type RebuildMetadataQuestion, type RebuiltMetadata, rebuildMetadata } from './rebuild-metadata.ts';
export { bannerOf, type RunningServer, type ServeQuestion, serve } from './serve.ts';
export type { MountWish } from './store-mounts.ts';
export { holdfastVersion } from './version.ts';
