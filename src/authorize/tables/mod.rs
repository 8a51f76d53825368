pub(crate) mod methods;
pub(crate) mod routes;
