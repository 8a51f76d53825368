//! Tokens of identity providers: each configuration of `src/guide/providers.md` admits a token of
//! the provider's exact shape, and rejects tokens that differ in one point.

mod alb;
mod apps;
mod aws;
mod consumers;
mod entra;
mod guide;
mod hosted;
mod microsoft;
mod published;
mod sample;
mod self_hosted;
mod workflows;
mod workloads;
