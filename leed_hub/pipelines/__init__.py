"""Picture or video in, result out."""
