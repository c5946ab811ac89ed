ALTER TABLE "edits" ADD COLUMN "importance" DOUBLE PRECISION NOT NULL DEFAULT 1;
ALTER TABLE "edits" ADD CONSTRAINT "edits_importance_check" CHECK ("importance" > 0 AND "importance" < 'Infinity');
