"""From files to stored expression: joins the science of `expression` to `storage`, over workers."""
