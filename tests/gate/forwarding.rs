//! How a permitted request reaches its upstream, and the answer its client.
