-- A lineage is told by its turns: batches whose parent is not the batch before. Few are.
CREATE INDEX "batches_turns_idx" ON "batches"("stream_id", "seq") WHERE "parent_seq" <> "seq" - 1;
