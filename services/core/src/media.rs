//! Media types: a first guess from the name of a file, until its content is looked at.

/// The media type of files with such a name; `application/octet-stream` if it says nothing.
pub fn from_path(path: &str) -> &'static str {
    let extension = path
        .rsplit_once('.')
        .map(|(_, e)| e.to_ascii_lowercase())
        .unwrap_or_default();
    match extension.as_str() {
        "jpg" | "jpeg" => "image/jpeg",
        "png" => "image/png",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "bmp" => "image/bmp",
        "tif" | "tiff" => "image/tiff",
        "svg" => "image/svg+xml",
        "txt" | "log" | "ini" | "cfg" => "text/plain",
        "csv" => "text/csv",
        "html" => "text/html",
        "json" => "application/json",
        "yaml" | "yml" => "application/yaml",
        "toml" => "application/toml",
        "xml" => "application/xml",
        "pdf" => "application/pdf",
        "zip" => "application/zip",
        "gz" => "application/gzip",
        "mp4" => "video/mp4",
        "wav" => "audio/wav",
        "edf" | "bdf" => "application/x-edf",
        "npy" => "application/x-npy",
        "h5" | "hdf5" => "application/x-hdf5",
        "parquet" => "application/vnd.apache.parquet",
        _ => "application/octet-stream",
    }
}
