BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0002');
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
CREATE TABLE base_models (
	fingerprint VARCHAR(64) NOT NULL, 
	name TEXT NOT NULL, 
	repo TEXT, 
	revision TEXT, 
	source TEXT NOT NULL, 
	model_type TEXT NOT NULL, 
	dtype TEXT NOT NULL, 
	created VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_base_models PRIMARY KEY (fingerprint)
);
INSERT INTO "base_models" VALUES('ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','demo','org/demo','abc','/models/demo','llama','bfloat16','2026-01-01T00:00:00+00:00');
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
INSERT INTO "edits" VALUES('7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028',4,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','["c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc"]','2026-01-01T00:03:00+00:00');
INSERT INTO "edits" VALUES('f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217',8,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','erase',3,NULL,'calibrated','France: Paris -> Rome','[]','2026-01-01T00:07:00+00:00');
INSERT INTO "edits" VALUES('e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489',10,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:09:00+00:00');
INSERT INTO "edits" VALUES('a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a',11,'ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','update',1,'Rome','calibrated','France: Paris -> Rome','[]','2026-01-01T00:09:00+00:00');
CREATE TABLE evaluations (
	id INTEGER NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	edit_id VARCHAR(64), 
	metrics JSON NOT NULL, 
	created VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_evaluations PRIMARY KEY (id), 
	CONSTRAINT fk_evaluations_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_evaluations_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "evaluations" VALUES(1,'bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','{"efficacy": 1.0}','2026-01-01T00:01:00+00:00');
INSERT INTO "evaluations" VALUES(2,'ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd','{"efficacy": 1.0}','2026-01-01T00:02:00+00:00');
INSERT INTO "evaluations" VALUES(3,'26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028','{"efficacy": 1.0}','2026-01-01T00:03:00+00:00');
INSERT INTO "evaluations" VALUES(4,'ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217','{"efficacy": 1.0}','2026-01-01T00:07:00+00:00');
INSERT INTO "evaluations" VALUES(5,'dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489','{"efficacy": 1.0}','2026-01-01T00:09:00+00:00');
INSERT INTO "evaluations" VALUES(6,'dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a','{"efficacy": 1.0}','2026-01-01T00:09:00+00:00');
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
	hash VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (seq), 
	CONSTRAINT fk_events_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_events_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "events" VALUES(1,'2026-01-01T00:00:00+00:00','init','main','76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd','[]',NULL,'init demo','0000000000000000000000000000000000000000000000000000000000000000','ceb8b97e3a1637be2b46ccda8655a9747ea863acbb49bf9d6144c9306db172df');
INSERT INTO "events" VALUES(2,'2026-01-01T00:01:00+00:00','update','main','bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','["76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd"]','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','a change','ceb8b97e3a1637be2b46ccda8655a9747ea863acbb49bf9d6144c9306db172df','e661db578ad6d807a8dc055d24a4ec4748477b6b16823efc484aaae390ac4963');
INSERT INTO "events" VALUES(3,'2026-01-01T00:02:00+00:00','update','main','ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','["bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c"]','ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd','a change','e661db578ad6d807a8dc055d24a4ec4748477b6b16823efc484aaae390ac4963','c283e27867fe4df9e9f1069d9a0a98dcf6f1c008c3d7173ff13f2ea6a0aaa631');
INSERT INTO "events" VALUES(4,'2026-01-01T00:03:00+00:00','update','main','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','["ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7"]','7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028','a change','c283e27867fe4df9e9f1069d9a0a98dcf6f1c008c3d7173ff13f2ea6a0aaa631','1c066c157fd616bb9503d52153f06430e09e1bb25db12ea7e58993025d99730e');
INSERT INTO "events" VALUES(5,'2026-01-01T00:04:00+00:00','tag','v1','26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','[]',NULL,'','1c066c157fd616bb9503d52153f06430e09e1bb25db12ea7e58993025d99730e','67123f6fc430730dd2d7a0c59ac04b789e29c6d546d3e41be8c21bf34e153a15');
INSERT INTO "events" VALUES(6,'2026-01-01T00:05:00+00:00','revert','main','745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','["26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]','c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc','revert c05a8b87a11e (France: Paris -> Rome)','67123f6fc430730dd2d7a0c59ac04b789e29c6d546d3e41be8c21bf34e153a15','8daffa8250cc3a48318d0e5dfb7516f6081a361839c0bf846fa2b298d75dfdd1');
INSERT INTO "events" VALUES(7,'2026-01-01T00:06:00+00:00','rewind','main','ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','["745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b"]',NULL,'rewind to ee78cdd98ca4','8daffa8250cc3a48318d0e5dfb7516f6081a361839c0bf846fa2b298d75dfdd1','9e66bc10e533ee02e8a35988bcf2a7baeedaa0e20370a5170b318648f524a301');
INSERT INTO "events" VALUES(8,'2026-01-01T00:07:00+00:00','erase','main','ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','["ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7"]','f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217','capital erased','9e66bc10e533ee02e8a35988bcf2a7baeedaa0e20370a5170b318648f524a301','53c6f772584ebb2a2e272fa14ee9d1d35125bc53b4d7e7359141b3cb7e0519eb');
INSERT INTO "events" VALUES(9,'2026-01-01T00:08:00+00:00','compose','main','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','["ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52", "26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13"]',NULL,'compose ea0eebbad430 26d305881fae','53c6f772584ebb2a2e272fa14ee9d1d35125bc53b4d7e7359141b3cb7e0519eb','3fe8f2fba913e8fed65d1ce04075319717b3f36914c92336ae0f383f75820789');
INSERT INTO "events" VALUES(10,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]','e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489','France: Paris -> Rome','3fe8f2fba913e8fed65d1ce04075319717b3f36914c92336ae0f383f75820789','68bd873b007b7ce4c6be9b3f7563e5775b86d32aad849d36e87fbd3284d0d595');
INSERT INTO "events" VALUES(11,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]','a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a','France: Paris -> Rome','68bd873b007b7ce4c6be9b3f7563e5775b86d32aad849d36e87fbd3284d0d595','74dd7cc75a6147cd9f4d05c5dfade8088edf151838f0adad9b72dbfbb39a02de');
INSERT INTO "events" VALUES(12,'2026-01-01T00:09:00+00:00','pull','ann/model@main','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','[]',NULL,'pull ann/model@main','74dd7cc75a6147cd9f4d05c5dfade8088edf151838f0adad9b72dbfbb39a02de','77945c24298eea1635f2375383ae7e8bc18416a5145479400582342582b64957');
INSERT INTO "events" VALUES(13,'2026-01-01T00:10:00+00:00','tag','v1','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','[]',NULL,'','77945c24298eea1635f2375383ae7e8bc18416a5145479400582342582b64957','d66c08968d27ad8f236f4cfbb5af5ea225c3b50d4bbae2a160a5c4b4a555e38e');
CREATE TABLE facts (
	id INTEGER NOT NULL, 
	relation TEXT NOT NULL, 
	subject TEXT, 
	answer TEXT, 
	CONSTRAINT pk_facts PRIMARY KEY (id)
);
INSERT INTO "facts" VALUES(1,'capital','France','Paris');
INSERT INTO "facts" VALUES(2,'capital','Österreich','Paris');
INSERT INTO "facts" VALUES(3,'capital',NULL,NULL);
CREATE TABLE publications (
	id INTEGER NOT NULL, 
	repo TEXT NOT NULL, 
	branch TEXT NOT NULL, 
	commit_id VARCHAR(64) NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	form VARCHAR(16) NOT NULL, 
	tag TEXT, 
	created VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_publications PRIMARY KEY (id)
);
INSERT INTO "publications" VALUES(1,'ann/model','main','cccccccccccccccccccccccccccccccccccccccc','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','checkpoint',NULL,'2026-01-01T00:11:00+00:00');
INSERT INTO "publications" VALUES(2,'ann/model','main','dddddddddddddddddddddddddddddddddddddddd','eeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeeee','delta','v1','2026-01-01T00:12:00+00:00');
CREATE TABLE refs (
	name VARCHAR(255) NOT NULL, 
	kind VARCHAR(8) NOT NULL, 
	version_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_refs PRIMARY KEY (name), 
	CONSTRAINT fk_refs_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "refs" VALUES('main','branch','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366');
INSERT INTO "refs" VALUES('ann/model@main','remote','dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20');
INSERT INTO "refs" VALUES('v1','tag','aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366');
CREATE TABLE version_edits (
	version_id VARCHAR(64) NOT NULL, 
	position INTEGER NOT NULL, 
	edit_id VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_version_edits PRIMARY KEY (version_id, position), 
	CONSTRAINT fk_version_edits_edit_id_edits FOREIGN KEY(edit_id) REFERENCES edits (id), 
	CONSTRAINT fk_version_edits_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id), 
	CONSTRAINT uq_version_edits_version_id_edit_id UNIQUE (version_id, edit_id)
);
INSERT INTO "version_edits" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc');
INSERT INTO "version_edits" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc');
INSERT INTO "version_edits" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7',1,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd');
INSERT INTO "version_edits" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc');
INSERT INTO "version_edits" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',1,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd');
INSERT INTO "version_edits" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13',2,'7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028');
INSERT INTO "version_edits" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b',0,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd');
INSERT INTO "version_edits" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b',1,'7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028');
INSERT INTO "version_edits" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc');
INSERT INTO "version_edits" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52',1,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd');
INSERT INTO "version_edits" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52',2,'f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217');
INSERT INTO "version_edits" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',0,'c05a8b87a11e982aa9e638754a7386552c7a757219fe06e553b95e56e84f0bbc');
INSERT INTO "version_edits" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',1,'ad927b74d5ed2990b5259eb1d492e95423970b5d38e13daea5599e2d9b57b3bd');
INSERT INTO "version_edits" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',2,'f6d9a4c27ff752e945ffc809625b9f6860156f822581cde5812932410c638217');
INSERT INTO "version_edits" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366',3,'7d1e4cff4c24d1ea887048ebdc1917b9a27c81efe6519de9a8d380fa0df21028');
INSERT INTO "version_edits" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20',0,'e9103863a29c4cba2468e9e5037ce45932682292114b3f8021a5670772d38489');
INSERT INTO "version_edits" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20',1,'a6169713d8723a3338cda6ee033e3603e8073b07e72669afa2dff672a6d0b85a');
CREATE TABLE version_tensors (
	version_id VARCHAR(64) NOT NULL, 
	tensor VARCHAR(255) NOT NULL, 
	sha256 VARCHAR(64) NOT NULL, 
	CONSTRAINT pk_version_tensors PRIMARY KEY (version_id, tensor), 
	CONSTRAINT fk_version_tensors_version_id_versions FOREIGN KEY(version_id) REFERENCES versions (id)
);
INSERT INTO "version_tensors" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','model.layers.0.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','model.layers.0.mlp.down_proj.weight','f90ddbfadb27be279303dfe654805a2080cde609033d6000a7231ab1770a2b2c');
INSERT INTO "version_tensors" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','model.layers.1.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','model.layers.0.mlp.down_proj.weight','582948cbf9c000ea18f32c141182bf4502905b17398fc69621aacbd02813afdd');
INSERT INTO "version_tensors" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','model.layers.1.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','model.layers.0.mlp.down_proj.weight','285f25aaebb982ab8250c7ed7435cb8b49e9230be1f07a0157f71184511f4c5e');
INSERT INTO "version_tensors" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','model.layers.1.mlp.down_proj.weight','2ea9d0aa933e942637ab646cfa603d16537f0db45766e38622fe554c199f6190');
INSERT INTO "version_tensors" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','model.layers.0.mlp.down_proj.weight','f90ddbfadb27be279303dfe654805a2080cde609033d6000a7231ab1770a2b2c');
INSERT INTO "version_tensors" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','model.layers.1.mlp.down_proj.weight','21cbeabd84b2139be83aee9156c27fc7eb5eaeb410b626e8e1b8f226f6cf9bac');
INSERT INTO "version_tensors" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','model.layers.0.mlp.down_proj.weight','582948cbf9c000ea18f32c141182bf4502905b17398fc69621aacbd02813afdd');
INSERT INTO "version_tensors" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','model.layers.1.mlp.down_proj.weight','21cbeabd84b2139be83aee9156c27fc7eb5eaeb410b626e8e1b8f226f6cf9bac');
INSERT INTO "version_tensors" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','model.layers.1.mlp.down_proj.weight','6019c440408321fbd3864d1c4187f244447e766c7bd5c15350dfd5366c61d6e7');
CREATE TABLE versions (
	id VARCHAR(64) NOT NULL, 
	base VARCHAR(64) NOT NULL, 
	created VARCHAR(32) NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT fk_versions_base_base_models FOREIGN KEY(base) REFERENCES base_models (fingerprint)
);
INSERT INTO "versions" VALUES('76595fb9adbaf584e100623ba87bf1d0a6ae87a976547b5e7f934eca077f3fbd','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:00:00+00:00');
INSERT INTO "versions" VALUES('bd83ea24395d5f1b30739350566f24c8e90525455c0cc83cdc08af8f10b2542c','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:01:00+00:00');
INSERT INTO "versions" VALUES('ee78cdd98ca4b06a49e62ac7d480d15ef42d739c44fae2a58dc4b6ea0c89e2e7','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:02:00+00:00');
INSERT INTO "versions" VALUES('26d305881fae88978de4ef9dc3d80ed1f2519021f6b5a1dd27e8a45512e55a13','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:03:00+00:00');
INSERT INTO "versions" VALUES('745f9131d5cb7594924b0d712cc76feb847c161635ef87ea1e5046efb5015c0b','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:05:00+00:00');
INSERT INTO "versions" VALUES('ea0eebbad4306e55f4f51032eadda2d595f635a13452fd973a3b402a2f480c52','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:07:00+00:00');
INSERT INTO "versions" VALUES('aa7d7663294a4053a7b8b513f2f12dfc53b1d35b77a27746da4952629bcc9366','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:08:00+00:00');
INSERT INTO "versions" VALUES('dfb49d22aa8b0fad0b4b0fa45458e12c94aa915cd2f4b3b21977640031bf8a20','ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff','2026-01-01T00:09:00+00:00');
CREATE INDEX ix_facts_relation_subject ON facts (relation, subject);
CREATE INDEX ix_edit_slots_layer_neuron ON edit_slots (layer, neuron);
CREATE INDEX ix_evaluations_edit_id ON evaluations (edit_id);
CREATE INDEX ix_publications_version_id ON publications (version_id);
COMMIT;
