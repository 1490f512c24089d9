CREATE TABLE setting (
    name TEXT NOT NULL,
    value BYTEA NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE workspace (
    name TEXT NOT NULL,
    timezone TEXT DEFAULT 'UTC' NOT NULL,
    currency TEXT,
    locale TEXT,
    settings JSONB DEFAULT '{}' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (name)
);

CREATE TABLE connection (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    slug TEXT NOT NULL,
    connector TEXT NOT NULL,
    account TEXT NOT NULL,
    alias TEXT DEFAULT '' NOT NULL,
    role TEXT,
    settings JSONB DEFAULT '{}' NOT NULL,
    secrets BYTEA NOT NULL,
    credentials BYTEA,
    credentials_version INTEGER DEFAULT '0' NOT NULL,
    credentials_expire_at TIMESTAMP WITH TIME ZONE,
    base_url TEXT,
    origin TEXT DEFAULT 'api' NOT NULL,
    paused BOOLEAN DEFAULT 'false' NOT NULL,
    removed BOOLEAN DEFAULT 'false' NOT NULL,
    problem TEXT,
    probed_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT role_known CHECK (role in ('shop', 'payments')),
    CONSTRAINT connection_account UNIQUE (workspace, connector, account, alias)
);

CREATE UNIQUE INDEX connection_slug ON connection (workspace, slug) WHERE not removed;

CREATE TABLE recipe (
    workspace TEXT DEFAULT 'main' NOT NULL,
    name TEXT NOT NULL,
    version_id UUID NOT NULL,
    enabled BOOLEAN DEFAULT 'true' NOT NULL,
    paused BOOLEAN DEFAULT 'false' NOT NULL,
    removed BOOLEAN DEFAULT 'false' NOT NULL,
    inputs JSONB DEFAULT '{}' NOT NULL,
    origin TEXT DEFAULT 'api' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (workspace, name)
);

CREATE TABLE recipe_version (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    name TEXT NOT NULL,
    number INTEGER NOT NULL,
    source TEXT NOT NULL,
    digest BYTEA NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    CONSTRAINT recipe_version_number UNIQUE (workspace, name, number)
);

CREATE TABLE api_key (
    id UUID NOT NULL,
    workspace TEXT,
    name TEXT DEFAULT '' NOT NULL,
    prefix TEXT NOT NULL,
    digest BYTEA NOT NULL,
    scopes TEXT[] DEFAULT '{}' NOT NULL,
    connections UUID[],
    expires_at TIMESTAMP WITH TIME ZONE,
    revoked_at TIMESTAMP WITH TIME ZONE,
    last_used_at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (digest)
);

CREATE TABLE audit (
    id UUID NOT NULL,
    workspace TEXT,
    actor TEXT NOT NULL,
    verb TEXT NOT NULL,
    object TEXT NOT NULL,
    detail JSONB DEFAULT '{}' NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX audit_by_time ON audit (workspace, at);

CREATE TABLE webhook (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    connection_id UUID NOT NULL,
    topic TEXT NOT NULL,
    headers BYTEA NOT NULL,
    body BYTEA NOT NULL,
    size INTEGER NOT NULL,
    state TEXT DEFAULT 'due' NOT NULL,
    reason TEXT,
    reads JSONB,
    test BOOLEAN DEFAULT 'false' NOT NULL,
    events INTEGER DEFAULT '0' NOT NULL,
    normalised_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id, at),
    CONSTRAINT state_known CHECK (state in ('due', 'reading', 'normalised', 'ignored', 'unknown', 'malformed'))
)
 PARTITION BY RANGE (at);

CREATE INDEX webhook_by_state ON webhook (workspace, connection_id, state, id);

CREATE INDEX webhook_due ON webhook (id) WHERE state = 'due';

CREATE TABLE delivery (
    key BYTEA NOT NULL,
    webhook_id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (key)
);

CREATE INDEX delivery_expiring ON delivery (expires_at) WHERE expires_at is not null;

CREATE TABLE rejected (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    slug TEXT NOT NULL,
    status SMALLINT NOT NULL,
    reason TEXT NOT NULL,
    size INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX rejected_by_slug ON rejected (workspace, slug, at);

CREATE TABLE event (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    type TEXT NOT NULL,
    connection_id UUID,
    webhook_id UUID,
    object_kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    subject_connection_id UUID,
    subject_kind TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    version TEXT,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    data BYTEA NOT NULL,
    schema_version SMALLINT NOT NULL,
    test BOOLEAN DEFAULT 'false' NOT NULL,
    historical BOOLEAN DEFAULT 'false' NOT NULL,
    note TEXT,
    number TEXT,
    email TEXT,
    customer_id UUID,
    decisions JSONB DEFAULT '{}' NOT NULL,
    waiters_due BOOLEAN DEFAULT 'false' NOT NULL,
    PRIMARY KEY (id, at)
)
 PARTITION BY RANGE (at);

CREATE INDEX event_by_email ON event (workspace, email) WHERE email is not null;

CREATE INDEX event_by_number ON event (workspace, number) WHERE number is not null;

CREATE INDEX event_by_subject ON event (workspace, subject_kind, subject_id, id);

CREATE INDEX event_by_type ON event (workspace, type, id);

CREATE INDEX event_waiters_due ON event (id) WHERE waiters_due;

CREATE TABLE event_identity (
    key BYTEA NOT NULL,
    event_id UUID NOT NULL,
    PRIMARY KEY (key)
);

CREATE TABLE object_state (
    key BYTEA NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    connection_id UUID NOT NULL,
    kind TEXT NOT NULL,
    object_id TEXT NOT NULL,
    version TEXT,
    data JSONB DEFAULT '{}' NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (key)
);

CREATE TABLE timer (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    kind TEXT NOT NULL,
    connection_id UUID,
    key BYTEA,
    data JSONB DEFAULT '{}' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (id),
    UNIQUE (key)
);

CREATE INDEX timer_due ON timer (due_at);

CREATE TABLE customer (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    email TEXT,
    phone TEXT,
    name TEXT,
    profile JSONB DEFAULT '{}' NOT NULL,
    attributes JSONB DEFAULT '{}' NOT NULL,
    orders INTEGER DEFAULT '0' NOT NULL,
    lifetime JSONB DEFAULT '{}' NOT NULL,
    first_order_at TIMESTAMP WITH TIME ZONE,
    last_order_at TIMESTAMP WITH TIME ZONE,
    merged_into UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    PRIMARY KEY (id)
);

CREATE INDEX customer_by_email ON customer (workspace, email);

CREATE TABLE customer_key (
    key BYTEA NOT NULL,
    customer_id UUID NOT NULL,
    kind TEXT NOT NULL,
    PRIMARY KEY (key)
);

CREATE INDEX ix_customer_key_customer_id ON customer_key (customer_id);

CREATE TABLE run (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    recipe TEXT NOT NULL,
    version_id UUID NOT NULL,
    event_id UUID NOT NULL,
    connection_id UUID,
    subject BYTEA NOT NULL,
    once_value TEXT DEFAULT '' NOT NULL,
    generation INTEGER DEFAULT '0' NOT NULL,
    mode TEXT DEFAULT 'live' NOT NULL,
    replay_of UUID,
    replay_id UUID,
    data BYTEA,
    state TEXT DEFAULT 'running' NOT NULL,
    reason TEXT,
    due_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id, at),
    CONSTRAINT state_known CHECK (state in ('running', 'waiting', 'held', 'done', 'failed', 'cancelled')),
    CONSTRAINT mode_known CHECK (mode in ('live', 'dry'))
)
 PARTITION BY RANGE (at);

CREATE INDEX run_by_event ON run (event_id);

CREATE INDEX run_by_recipe ON run (workspace, recipe, id);

CREATE INDEX run_due ON run (due_at) WHERE due_at is not null;

CREATE INDEX run_failed ON run (workspace, id) WHERE state = 'failed';

CREATE INDEX run_in_order ON run (workspace, recipe, subject, event_id) WHERE state = 'running';

CREATE TABLE once (
    key BYTEA NOT NULL,
    run_id UUID NOT NULL,
    expires_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (key)
);

CREATE TABLE step (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    run_id UUID NOT NULL,
    path TEXT NOT NULL,
    kind TEXT NOT NULL,
    state TEXT DEFAULT 'running' NOT NULL,
    output JSONB,
    error TEXT,
    due_at TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id, at),
    CONSTRAINT state_known CHECK (state in ('running', 'done', 'skipped', 'failed', 'cancelled'))
)
 PARTITION BY RANGE (at);

CREATE INDEX step_by_run ON step (run_id);

CREATE TABLE waiter (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    event_type TEXT NOT NULL,
    path TEXT NOT NULL,
    value BYTEA NOT NULL,
    run_id UUID NOT NULL,
    step TEXT,
    PRIMARY KEY (id)
);

CREATE INDEX waiter_by_run ON waiter (run_id);

CREATE INDEX waiter_by_value ON waiter (workspace, event_type, path, value);

CREATE TABLE call (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    connection_id UUID NOT NULL,
    run_id UUID NOT NULL,
    event_id UUID NOT NULL,
    recipe TEXT NOT NULL,
    path TEXT NOT NULL,
    item TEXT,
    action TEXT NOT NULL,
    subject BYTEA NOT NULL,
    effect_key BYTEA NOT NULL,
    input BYTEA NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    priority SMALLINT DEFAULT '0' NOT NULL,
    state TEXT DEFAULT 'due' NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE NOT NULL,
    attempts INTEGER DEFAULT '0' NOT NULL,
    failures INTEGER DEFAULT '0' NOT NULL,
    unsure BOOLEAN DEFAULT 'false' NOT NULL,
    sent_at TIMESTAMP WITH TIME ZONE,
    output JSONB,
    error TEXT,
    error_kind TEXT,
    question TEXT,
    owner TEXT,
    fence BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id, at),
    CONSTRAINT state_known CHECK (state in ('due', 'captured', 'done', 'skipped', 'uncertain', 'dead', 'cancelled'))
)
 PARTITION BY RANGE (at);

CREATE INDEX call_by_effect ON call (effect_key) WHERE state in ('due', 'uncertain');

CREATE INDEX call_by_run ON call (run_id);

CREATE INDEX call_due ON call (connection_id, priority desc, event_id, id) WHERE state = 'due';

CREATE INDEX call_open ON call (connection_id, subject) WHERE state in ('due', 'uncertain');

CREATE INDEX call_uncertain ON call (workspace, id) WHERE state = 'uncertain';

CREATE TABLE attempt (
    id UUID NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    call_id UUID NOT NULL,
    connection_id UUID NOT NULL,
    number INTEGER NOT NULL,
    state TEXT NOT NULL,
    fence BIGINT DEFAULT '0' NOT NULL,
    requests BYTEA,
    response BYTEA,
    status SMALLINT,
    error TEXT,
    deadline TIMESTAMP WITH TIME ZONE,
    duration_ms INTEGER,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id, at),
    CONSTRAINT state_known CHECK (state in ('sending', 'ok', 'retryable', 'unsure', 'permanent', 'late'))
)
 PARTITION BY RANGE (at);

CREATE INDEX attempt_by_call ON attempt (call_id);

CREATE INDEX attempt_sending ON attempt (connection_id) WHERE state = 'sending';

CREATE TABLE effect (
    key BYTEA NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    state TEXT NOT NULL,
    call_id UUID NOT NULL,
    label TEXT,
    output JSONB,
    doubled BOOLEAN DEFAULT 'false' NOT NULL,
    at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (key),
    CONSTRAINT state_known CHECK (state in ('reserved', 'done', 'uncertain', 'released'))
);

CREATE TABLE lane (
    connection_id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    owner TEXT,
    fence BIGINT DEFAULT '0' NOT NULL,
    lease_until TIMESTAMP WITH TIME ZONE,
    bell BOOLEAN DEFAULT 'false' NOT NULL,
    paused BOOLEAN DEFAULT 'false' NOT NULL,
    state TEXT DEFAULT 'open' NOT NULL,
    reason TEXT,
    parked_at TIMESTAMP WITH TIME ZONE,
    probe_at TIMESTAMP WITH TIME ZONE,
    probes INTEGER DEFAULT '0' NOT NULL,
    PRIMARY KEY (connection_id),
    CONSTRAINT state_known CHECK (state in ('open', 'parked'))
);

CREATE TABLE replay (
    id UUID NOT NULL,
    workspace TEXT DEFAULT 'main' NOT NULL,
    filter JSONB DEFAULT '{}' NOT NULL,
    options JSONB DEFAULT '{}' NOT NULL,
    state TEXT DEFAULT 'draft' NOT NULL,
    preview JSONB,
    cursor TEXT,
    done INTEGER DEFAULT '0' NOT NULL,
    total INTEGER,
    report JSONB DEFAULT '{}' NOT NULL,
    actor TEXT DEFAULT '' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT clock_timestamp() NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (id)
);

CREATE INDEX replay_open ON replay (id) WHERE state = 'running';
