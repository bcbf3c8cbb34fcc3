BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0007');
CREATE TABLE attributions (
	edit_id VARCHAR(64) NOT NULL, 
	found JSON NOT NULL, 
	CONSTRAINT pk_attributions PRIMARY KEY (edit_id), 
	CONSTRAINT fk_attributions_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id)
);
INSERT INTO "attributions" VALUES('c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
INSERT INTO "attributions" VALUES('32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073','{"rule": "adaptive", "neurons": [{"neuron": "L0.1", "score": 0.5}]}');
CREATE TABLE base_models (
	fingerprint VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	repo TEXT, 
	revision TEXT, 
	source TEXT NOT NULL, 
	model_type TEXT NOT NULL, 
	dtype TEXT NOT NULL, 
	created VARCHAR(32) NOT NULL, files JSON, 
	CONSTRAINT pk_base_models PRIMARY KEY (fingerprint)
);
INSERT INTO "base_models" VALUES('ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','demo','org/demo','abc','/models/demo','llama','bfloat16','2026-01-01T00:00:00+00:00',NULL);
CREATE TABLE base_places (
	seq INTEGER NOT NULL, 
	source TEXT NOT NULL, 
	files JSON, 
	CONSTRAINT pk_base_places PRIMARY KEY (seq)
);
INSERT INTO "base_places" VALUES(24,'/models/moved','{"config.json": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}');
CREATE TABLE edit_facts (
	edit_id VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	fact_id INTEGER NOT NULL, 
	target TEXT, 
	CONSTRAINT pk_edit_facts PRIMARY KEY (edit_id, position), 
	CONSTRAINT fk_edit_facts_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_edit_facts_fact_id_facts FOREIGN KEY(fact_id) REFERENCES facts (id)
)
 WITHOUT ROWID

;
INSERT INTO "edit_facts" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',0,5,'Rome');
INSERT INTO "edit_facts" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',1,6,'Rome');
INSERT INTO "edit_facts" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',2,7,'Rome');
INSERT INTO "edit_facts" VALUES('32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073',0,8,'Rome');
INSERT INTO "edit_facts" VALUES('7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',0,1,'Rome');
INSERT INTO "edit_facts" VALUES('89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4',0,4,'Rome');
INSERT INTO "edit_facts" VALUES('a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a',0,1,'Rome');
INSERT INTO "edit_facts" VALUES('ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd',0,2,'Rome');
INSERT INTO "edit_facts" VALUES('c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc',0,1,'Rome');
INSERT INTO "edit_facts" VALUES('e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489',0,1,'Rome');
INSERT INTO "edit_facts" VALUES('f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217',0,3,NULL);
CREATE TABLE edit_layers (
	edit_id VARCHAR(64) NOT NULL, 
	layer INTEGER NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	rank INTEGER NOT NULL, 
	CONSTRAINT pk_edit_layers PRIMARY KEY (edit_id, layer), 
	CONSTRAINT fk_edit_layers_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id)
);
INSERT INTO "edit_layers" VALUES('89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4',1,'low-rank',2);
CREATE TABLE edit_slots (
	edit_id VARCHAR(64) NOT NULL, 
	layer INTEGER NOT NULL, 
	neuron INTEGER NOT NULL, 
	mode VARCHAR(8) NOT NULL, 
	CONSTRAINT pk_edit_slots PRIMARY KEY (edit_id, layer, neuron), 
	CONSTRAINT fk_edit_slots_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id)
);
INSERT INTO "edit_slots" VALUES('c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc',0,1,'add');
INSERT INTO "edit_slots" VALUES('ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd',0,2,'add');
INSERT INTO "edit_slots" VALUES('ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd',1,1,'add');
INSERT INTO "edit_slots" VALUES('7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',0,1,'add');
INSERT INTO "edit_slots" VALUES('f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217',1,3,'add');
INSERT INTO "edit_slots" VALUES('e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489',1,4,'add');
INSERT INTO "edit_slots" VALUES('a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a',1,5,'set');
INSERT INTO "edit_slots" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',0,4,'add');
INSERT INTO "edit_slots" VALUES('32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073',1,2,'add');
CREATE TABLE edits (
	id VARCHAR(64) NOT NULL, 
	seq INTEGER NOT NULL, 
	base VARCHAR(64) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	fact_id INTEGER NOT NULL, 
	target TEXT, 
	method TEXT NOT NULL, 
	message TEXT NOT NULL, 
	overlaps JSON NOT NULL, 
	created VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_edits PRIMARY KEY (id), 
	CONSTRAINT fk_edits_base_base_models FOREIGN KEY(base) REFERENCES base_models (fingerprint), 
	CONSTRAINT fk_edits_fact_id_facts FOREIGN KEY(fact_id) REFERENCES facts (id), 
	CONSTRAINT uq_edits_seq UNIQUE (seq)
);
INSERT INTO "edits" VALUES('c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc',2,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:01:00+00:00');
INSERT INTO "edits" VALUES('ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd',3,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',2,'Rome','calibrated','Österreich: Paris -> Rome','[]','2026-01-01T00:02:00+00:00');
INSERT INTO "edits" VALUES('7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',4,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:03:00+00:00');
INSERT INTO "edits" VALUES('f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217',8,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','erase',3,NULL,'calibrated','France: Paris -> Rome','[]','2026-01-01T00:07:00+00:00');
INSERT INTO "edits" VALUES('e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489',10,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:09:00+00:00');
INSERT INTO "edits" VALUES('a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a',11,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:09:00+00:00');
INSERT INTO "edits" VALUES('89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4',13,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',4,'Rome','calibrated','Cuba: Paris -> Rome','[]','2026-01-01T00:10:00+00:00');
INSERT INTO "edits" VALUES('03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',14,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',5,'Rome','calibrated','Japan: Paris -> Rome, and 2 more','[]','2026-01-01T00:11:00+00:00');
INSERT INTO "edits" VALUES('32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073',18,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',8,'Rome','calibrated','Peru: Paris -> Rome','[]','2026-01-01T00:14:00+00:00');
CREATE TABLE evaluations (
	id INTEGER NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	edit_id VARCHAR(64), 
	metrics JSON NOT NULL, 
	created VARCHAR(32) NOT NULL, seq INTEGER, 
	CONSTRAINT pk_evaluations PRIMARY KEY (id), 
	CONSTRAINT fk_evaluations_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_evaluations_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "evaluations" VALUES(1,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','{"efficacy": 1.0}','2026-01-01T00:01:00+00:00',2);
INSERT INTO "evaluations" VALUES(2,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd','{"efficacy": 1.0}','2026-01-01T00:02:00+00:00',3);
INSERT INTO "evaluations" VALUES(3,'26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028','{"efficacy": 1.0}','2026-01-01T00:03:00+00:00',4);
INSERT INTO "evaluations" VALUES(4,'ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217','{"efficacy": 1.0}','2026-01-01T00:07:00+00:00',8);
INSERT INTO "evaluations" VALUES(5,'dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489','{"efficacy": 1.0}','2026-01-01T00:09:00+00:00',10);
INSERT INTO "evaluations" VALUES(6,'dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a','{"efficacy": 1.0}','2026-01-01T00:09:00+00:00',11);
INSERT INTO "evaluations" VALUES(7,'329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122','89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4','{"efficacy": 1.0}','2026-01-01T00:10:00+00:00',13);
INSERT INTO "evaluations" VALUES(8,'f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72','{"efficacy": 1.0}','2026-01-01T00:11:00+00:00',14);
INSERT INTO "evaluations" VALUES(9,'d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073','{"efficacy": 1.0}','2026-01-01T00:14:00+00:00',18);
CREATE TABLE events (
	seq INTEGER NOT NULL, 
	created VARCHAR(32) NOT NULL, 
	kind VARCHAR(16) NOT NULL, 
	ref VARCHAR(255) NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	parents JSON NOT NULL, 
	edit_id VARCHAR(64), 
	message TEXT NOT NULL, 
	previous VARCHAR(64) NOT NULL, 
	hash VARCHAR(64) NOT NULL, payload VARCHAR(64), 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT fk_events_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_events_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "events" VALUES(1,'2026-01-01T00:00:00+00:00','init','main','76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd','[]',NULL,'init demo','0000000000000000000000000000000000000000000000000000000000000000','3f320c85b00b1c153c4a8464aaeb6aa665408299a1f50748ff2347f36f6e9679','b305994f35a0f822f68cf2dea6ba268c52538724e7355ec7fa158886c6b10009');
INSERT INTO "events" VALUES(2,'2026-01-01T00:01:00+00:00','update','main','bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','["76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd"]','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','a change','3f320c85b00b1c153c4a8464aaeb6aa665408299a1f50748ff2347f36f6e9679','61568a04c4e61d643270e9f42e7e25575f48c19b3c40b384777280e4984af3b4','bd937d88f878e2599d13ab171dc23bb6c87f3c2969e3d4d61e63f36348f5dee2');
INSERT INTO "events" VALUES(3,'2026-01-01T00:02:00+00:00','update','main','ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','["bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c"]','ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd','a change','61568a04c4e61d643270e9f42e7e25575f48c19b3c40b384777280e4984af3b4','b10bbd99d5efda67d6f9982f2d4cf6cad48d7fc3df8b973dce5e364836a37ffc','3edc45d2dfcdba0700f0e542e3f1375b19660edc3b31962b55b69676d73e434a');
INSERT INTO "events" VALUES(4,'2026-01-01T00:03:00+00:00','update','main','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','["ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7"]','7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028','a change','b10bbd99d5efda67d6f9982f2d4cf6cad48d7fc3df8b973dce5e364836a37ffc','20208a7d23eb5904418cae2f50da2d682ffae563a1d9e184a353b0f0ed727104','e157c1e3567450eae0ce862ce57d9d794a9973ab36b428a6e99abee88be20efd');
INSERT INTO "events" VALUES(5,'2026-01-01T00:04:00+00:00','tag','v1','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','[]',NULL,'','20208a7d23eb5904418cae2f50da2d682ffae563a1d9e184a353b0f0ed727104','26ca16f855063de8f87c8d22eb841ddca0bf0f0d3707c1e0b14643892febb47e','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(6,'2026-01-01T00:05:00+00:00','revert','main','745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','["26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','revert c05a8b87a11e (France: Paris -> Rome)','26ca16f855063de8f87c8d22eb841ddca0bf0f0d3707c1e0b14643892febb47e','d97ac537d7f800f31230068bcb5caf825336bb86caa33e2bac1b53752b18ebc7','3d307e7332a9e053972e39213fe417b76fee3e51e93772580e4c1600e4779604');
INSERT INTO "events" VALUES(7,'2026-01-01T00:06:00+00:00','rewind','main','ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','["745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b"]',NULL,'rewind to ee78cdd98ca4','d97ac537d7f800f31230068bcb5caf825336bb86caa33e2bac1b53752b18ebc7','989a52aeb1be02bdc5a9b0dc822101b16c451d018e748ca9464fc1332b4f2b1c','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(8,'2026-01-01T00:07:00+00:00','erase','main','ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','["ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7"]','f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217','capital erased','989a52aeb1be02bdc5a9b0dc822101b16c451d018e748ca9464fc1332b4f2b1c','9fd84d9e9f4c35e3c6b20310cab856a80a29cda276d94c7aa707fe5947ae4646','f778bfdc6dc2fef75922129eff055317c084627416ae800f8c6d08b16fca89a0');
INSERT INTO "events" VALUES(9,'2026-01-01T00:08:00+00:00','compose','main','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','["ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52", "26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]',NULL,'compose ea0eebbad430 26d305881fae','9fd84d9e9f4c35e3c6b20310cab856a80a29cda276d94c7aa707fe5947ae4646','831d76f60d9192af468f9863e7e69d0e5ce87ebe11885531edca1a810a508f39','69eb8114e713e44044cde66300623419bac21b820b717b8a5335f2ad980b40ca');
INSERT INTO "events" VALUES(10,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]','e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489','France: Paris -> Rome','831d76f60d9192af468f9863e7e69d0e5ce87ebe11885531edca1a810a508f39','46263fb8fb2b510641a37cbf1a0f81a31df6a74f58954d4917504390cda2b59b','54f0097883ef0c54afb622641ce4533144e35d9d4715f19a2ac8b41ab621d9f9');
INSERT INTO "events" VALUES(11,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]','a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a','France: Paris -> Rome','46263fb8fb2b510641a37cbf1a0f81a31df6a74f58954d4917504390cda2b59b','6f48260e3a9dbbe93979d6eb735ef2092f7d480702d32272bd19d4691de7e52a','4d49fd1ddc4d42077649474121bbe305eee10d767763f21a2338ab9e5394f116');
INSERT INTO "events" VALUES(12,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]',NULL,'pull ann/model@main','6f48260e3a9dbbe93979d6eb735ef2092f7d480702d32272bd19d4691de7e52a','9e5ed0ac1e909e40efe52e157bc844810eaf807e2f83cd1ad8207a82424f4486','fc3856d36bb76bc38f669bf92a820f26bd3841005042ee8368ee43b90b09ca69');
INSERT INTO "events" VALUES(13,'2026-01-01T00:10:00+00:00','update','main','329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122','["aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366"]','89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4','a change','9e5ed0ac1e909e40efe52e157bc844810eaf807e2f83cd1ad8207a82424f4486','190395a919cf3b964819fca29809315d3470eb3b44e7029acd92550d1dc5c34d','fafbf37abe8496ebf1dafd9bffc2add641a680fce33b78f40d001536cdd087b0');
INSERT INTO "events" VALUES(14,'2026-01-01T00:11:00+00:00','update','main','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','["329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122"]','03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72','a change of many','190395a919cf3b964819fca29809315d3470eb3b44e7029acd92550d1dc5c34d','2a68dc87b8accf217173899f2a8f36e3feb2db35b5ddd70c1392029dc518511a','b80541e7d3ea5f062e09ae2e5603d18b90e56003b6309fdf35e0295e1a5f5cae');
INSERT INTO "events" VALUES(15,'2026-01-01T00:12:00+00:00','tag','v2','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','[]',NULL,'','2a68dc87b8accf217173899f2a8f36e3feb2db35b5ddd70c1392029dc518511a','1282acd840cc409a1eb0b66c75a99b9a981693df75a6a55f2dd326bb37739740','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(16,'2026-01-01T00:13:00+00:00','branch','side','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','["26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]',NULL,'branch side at 26d305881fae','1282acd840cc409a1eb0b66c75a99b9a981693df75a6a55f2dd326bb37739740','61ff5f0c12c6bafc7b379f7d4e7b62d8301d86e5034b946656a92e7e3c52dd6e','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(17,'2026-01-01T00:13:00+00:00','switch','side','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','[]',NULL,'switch from main to side','61ff5f0c12c6bafc7b379f7d4e7b62d8301d86e5034b946656a92e7e3c52dd6e','13790dfa90e3a33e009cfeef16e6efa0daa35a37e81646d2568a97113b6e9a71','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(18,'2026-01-01T00:14:00+00:00','update','side','d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','["26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]','32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073','a change','13790dfa90e3a33e009cfeef16e6efa0daa35a37e81646d2568a97113b6e9a71','1e6b147737891dd74b42c6d1d7679f549f983b6c204660174ec9e11261af9b3e','22d4ab7e4487b7adb366d4d5a937306f233c9f9e5ae1fd2e10a7bee30b3d45a2');
INSERT INTO "events" VALUES(19,'2026-01-01T00:15:00+00:00','branch','gone','d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','["d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4"]',NULL,'branch gone from side','1e6b147737891dd74b42c6d1d7679f549f983b6c204660174ec9e11261af9b3e','f3911dee8285e91f782ed19261685a4fdbfdc729f81bd619e84c3d3734b14c9f','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(20,'2026-01-01T00:16:00+00:00','switch','main','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','[]',NULL,'switch from side to main','f3911dee8285e91f782ed19261685a4fdbfdc729f81bd619e84c3d3734b14c9f','dadd8842d326a46093450398b5a2d8ce66d654df8df9980d0aa9881c81a9e714','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(21,'2026-01-01T00:17:00+00:00','delete','gone','d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','[]',NULL,'delete branch gone','dadd8842d326a46093450398b5a2d8ce66d654df8df9980d0aa9881c81a9e714','e5329ada1a45045cc34abea269fcc83260d3b93225eaad58047f2bff1b9226b2','e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
INSERT INTO "events" VALUES(22,'2026-01-01T00:18:00+00:00','publish','','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','[]',NULL,'publish f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','e5329ada1a45045cc34abea269fcc83260d3b93225eaad58047f2bff1b9226b2','bd992fd8fbaaffbeb2bda77f38abc40109733315bcf79dc6b7b6438d863e9421','499c364fd911c4fcbe833913db63a3d00dde2f0bbbdb3979616d9d5cb0c8226e');
INSERT INTO "events" VALUES(23,'2026-01-01T00:19:00+00:00','publish','','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','[]',NULL,'publish eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','bd992fd8fbaaffbeb2bda77f38abc40109733315bcf79dc6b7b6438d863e9421','07e20b09a2cd2c742a6e0301bdca86fa561fa0e201ea28f630f73f1318ba390e','fa71ea96b627d69d19a0c5056bd7cc128b12f0cb1cb66efa50c2358fecd369ae');
INSERT INTO "events" VALUES(24,'2026-01-01T00:20:00+00:00','base','','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','[]',NULL,'base moved','07e20b09a2cd2c742a6e0301bdca86fa561fa0e201ea28f630f73f1318ba390e','702e91606b4092fde92e21f49cea27ef036108bb2fe5860955d7f031b351f90f','e86c9624c6f19dd5540bcb46108c13aa080996a27544b466fae21c9f5c9a0659');
CREATE TABLE facts (
	id INTEGER NOT NULL, 
	relation TEXT NOT NULL, 
	subject TEXT, 
	answer TEXT, seq INTEGER, 
	CONSTRAINT pk_facts PRIMARY KEY (id)
);
INSERT INTO "facts" VALUES(1,'capital','France','Paris',2);
INSERT INTO "facts" VALUES(2,'capital','Österreich','Paris',3);
INSERT INTO "facts" VALUES(3,'capital',NULL,NULL,8);
INSERT INTO "facts" VALUES(4,'capital','Cuba','Paris',13);
INSERT INTO "facts" VALUES(5,'capital','Japan','Paris',14);
INSERT INTO "facts" VALUES(6,'capital','France','France old',14);
INSERT INTO "facts" VALUES(7,'capital','Spain','Spain old',14);
INSERT INTO "facts" VALUES(8,'capital','Peru','Paris',18);
CREATE TABLE publications (
	id INTEGER NOT NULL, 
	repo TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	commit_id VARCHAR(64) NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	form VARCHAR(16) NOT NULL, 
	tag TEXT, 
	created VARCHAR(32) NOT NULL, seq INTEGER, 
	CONSTRAINT pk_publications PRIMARY KEY (id)
);
INSERT INTO "publications" VALUES(1,'ann/m','main','cccccccccccccccccccccccccccccccccccccccc','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','delta',NULL,'2026-01-01T00:18:00+00:00',22);
INSERT INTO "publications" VALUES(2,'ann/m','main','dddddddddddddddddddddddddddddddddddddddd','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','delta','v1','2026-01-01T00:19:00+00:00',23);
CREATE TABLE refs (
	name VARCHAR(255) NOT NULL, 
	kind VARCHAR(8) NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_refs PRIMARY KEY (name), 
	CONSTRAINT fk_refs_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "refs" VALUES('main','current','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e');
INSERT INTO "refs" VALUES('v1','tag','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13');
INSERT INTO "refs" VALUES('ann/model@main','remote','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20');
INSERT INTO "refs" VALUES('v2','tag','f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e');
INSERT INTO "refs" VALUES('side','branch','d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4');
CREATE TABLE version_changes (
	version_id VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	edit_id VARCHAR(64) NOT NULL, 
	added BOOLEAN NOT NULL, 
	CONSTRAINT pk_version_changes PRIMARY KEY (version_id, position), 
	CONSTRAINT fk_version_changes_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_version_changes_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
)
 WITHOUT ROWID

;
INSERT INTO "version_changes" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',0,'7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',1);
INSERT INTO "version_changes" VALUES('329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122',0,'89b8b5b81fc57262b23dc9788f6785a9d31db386d83db94363ac2c5cf3c1a4b4',1);
INSERT INTO "version_changes" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc',0);
INSERT INTO "version_changes" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',0,'7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',1);
INSERT INTO "version_changes" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc',1);
INSERT INTO "version_changes" VALUES('d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4',0,'32a461160e9b7a9dd4dc9247486437b6adb29086bab3a750bc9b76718b4ed073',1);
INSERT INTO "version_changes" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20',0,'e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489',1);
INSERT INTO "version_changes" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20',1,'a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a',1);
INSERT INTO "version_changes" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52',0,'f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217',1);
INSERT INTO "version_changes" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7',0,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd',1);
INSERT INTO "version_changes" VALUES('f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e',0,'03388b9f4b65fd0c16d0bd7d1d2b81450cea2196227aee96f38327a3663e5d72',1);
CREATE TABLE version_spans (
	version_id VARCHAR(64) NOT NULL, 
	ancestor_id VARCHAR(64), 
	level INTEGER NOT NULL, 
	dropped BLOB NOT NULL, 
	appended BLOB NOT NULL, 
	CONSTRAINT pk_version_spans PRIMARY KEY (version_id), 
	CONSTRAINT fk_version_spans_ancestor_id_versions FOREIGN KEY(ancestor_id) REFERENCES versions (id), 
	CONSTRAINT fk_version_spans_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
CREATE TABLE "version_tensors" (
	version_id VARCHAR(64) NOT NULL, 
	tensor VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_version_tensors PRIMARY KEY (version_id, tensor), 
	CONSTRAINT fk_version_tensors_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
)
 WITHOUT ROWID

;
INSERT INTO "version_tensors" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','model.layers.0.mlp.down_proj.weight','582948cbf9c000ea18f32c141182bf4502905b17398fc69621aacbd02813afdd');
INSERT INTO "version_tensors" VALUES('329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122','model.layers.1.mlp.down_proj.weight','f355f5778370d5e165eefe1cafa8ee9d937bbaafb9e6a6b6f0ba0291c27841b9');
INSERT INTO "version_tensors" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','model.layers.0.mlp.down_proj.weight','285f25aaebb982ab8250c7ed7435cb8b49e9230be1f07a0157f71184511f4c5e');
INSERT INTO "version_tensors" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','model.layers.0.mlp.down_proj.weight','582948cbf9c000ea18f32c141182bf4502905b17398fc69621aacbd02813afdd');
INSERT INTO "version_tensors" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','model.layers.0.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','model.layers.1.mlp.down_proj.weight','f90ddbfadb27be279303dfe654805a2080cde609033d6000a7231ab1770a2b2c');
INSERT INTO "version_tensors" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','model.layers.1.mlp.down_proj.weight','6019c440408321fbd3864d1c4187f244447e766c7bd5c15350dfd5366c61d6e7');
INSERT INTO "version_tensors" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','model.layers.1.mlp.down_proj.weight','21cbeabd84b2139be83aee9156c27fc7eb5eaeb410b626e8e1b8f226f6cf9bac');
INSERT INTO "version_tensors" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','model.layers.0.mlp.down_proj.weight','f90ddbfadb27be279303dfe654805a2080cde609033d6000a7231ab1770a2b2c');
INSERT INTO "version_tensors" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','model.layers.1.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','model.layers.0.mlp.down_proj.weight','d202c93398726bda7e8019a667dc9e99454ebbebd1a70114669206a1db0a8d11');
CREATE TABLE versions (
	id VARCHAR(64) NOT NULL, 
	base VARCHAR(64) NOT NULL, 
	created VARCHAR(32) NOT NULL, seq INTEGER, parent_id VARCHAR(64) CONSTRAINT fk_versions_parent_id_versions REFERENCES versions (id), partial BOOLEAN, depth INTEGER, jump_id VARCHAR(64) CONSTRAINT fk_versions_jump_id_versions REFERENCES versions (id), 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT fk_versions_base_base_models FOREIGN KEY(base) REFERENCES base_models (fingerprint)
);
INSERT INTO "versions" VALUES('76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:00:00+00:00',1,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:01:00+00:00',2,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:02:00+00:00',3,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c',NULL,1,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c');
INSERT INTO "versions" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:03:00+00:00',4,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7',1,2,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7');
INSERT INTO "versions" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:05:00+00:00',6,'26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',1,3,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c');
INSERT INTO "versions" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:07:00+00:00',8,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7',1,2,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7');
INSERT INTO "versions" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:08:00+00:00',9,'ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52',1,3,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c');
INSERT INTO "versions" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:09:00+00:00',12,NULL,NULL,0,NULL);
INSERT INTO "versions" VALUES('329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:10:00+00:00',13,'aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',1,4,'aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366');
INSERT INTO "versions" VALUES('f5748b83c47aa2c2f0b453e169f9e706adfb52c784358133e57adb9464a42a1e','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:11:00+00:00',14,'329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122',1,5,'329d59473fdabfba26ac9943902beefdae6461abaff16970dc6e70aa0c15d122');
INSERT INTO "versions" VALUES('d3432ca05f7b63364aaeb6036a611489dec642fe3d7367d96074137e85b267c4','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:14:00+00:00',18,'26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',1,3,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c');
CREATE INDEX ix_facts_relation_subject ON facts (relation, subject);
CREATE INDEX ix_edit_slots_layer_neuron ON edit_slots (layer, neuron);
CREATE INDEX ix_evaluations_edit_id ON evaluations (edit_id);
CREATE INDEX ix_publications_version_id ON publications (version_id);
CREATE INDEX ix_facts_seq ON facts (seq);
CREATE INDEX ix_versions_seq ON versions (seq);
CREATE INDEX ix_evaluations_seq ON evaluations (seq);
CREATE INDEX ix_publications_seq ON publications (seq);
CREATE INDEX ix_edit_layers_layer ON edit_layers (layer);
CREATE INDEX ix_version_changes_edit_id ON version_changes (edit_id);
COMMIT;
