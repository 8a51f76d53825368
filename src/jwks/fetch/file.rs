use std::{
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use http::{Request, Response};

use super::{Fetch, FetchError, MAX_BYTES, run_blocking};

/// Reads one file, whatever the request is.
pub(crate) struct FileFetch(PathBuf);

impl FileFetch {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Fetch for FileFetch {
    async fn fetch(&self, _: Request<()>) -> Result<Response<Bytes>, FetchError> {
        let path = self.0.clone();
        let read = move || {
            let mut json = Vec::new();
            // One byte over the limit, so that the caller sees that the file is too long.
            File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_end(&mut json).map(|_| json)
        };
        let json = run_blocking(read).await?;
        Ok(Response::new(json.map_err(FetchError::new)?.into()))
    }
}
